// A pose: how far an object is moved right and down in pixels, its size as a factor, degrees clockwise. After board.js.
const REST = { right: 0, down: 0, scale: 1, rotate: 0 };

function bounded(scale) {
  return Math.min(8, Math.max(0.125, scale));
}

// What of an extent's frame is where, once it has a pose.
function posedPoint(extent, pose, x, y) {
  const angle = (pose.rotate * Math.PI) / 180, cos = Math.cos(angle) * pose.scale, sin = Math.sin(angle) * pose.scale;
  const dx = x - extent.x, dy = y - extent.y;
  return [extent.x + pose.right + cos * dx - sin * dy, extent.y + pose.down + sin * dx + cos * dy];
}

function handlesOf(extent, pose) {
  const far = (24 * unit()) / pose.scale;
  return {
    scale: posedPoint(extent, pose, extent.right, extent.bottom),
    rotate: posedPoint(extent, pose, (extent.left + extent.right) / 2, extent.top - far),
    top: posedPoint(extent, pose, (extent.left + extent.right) / 2, extent.top),
    corners: [
      [extent.left, extent.top],
      [extent.right, extent.top],
      [extent.right, extent.bottom],
      [extent.left, extent.bottom],
    ].map(([x, y]) => posedPoint(extent, pose, x, y)),
  };
}

function drawPosed(image, extent, pose) {
  const angle = (pose.rotate * Math.PI) / 180;
  pen.save();
  pen.translate(extent.x + pose.right, extent.y + pose.down);
  pen.rotate(angle);
  pen.scale(pose.scale, pose.scale);
  pen.drawImage(image, -extent.x, -extent.y, board.width, board.height);
  pen.restore();
}

function drawHandles(extent, pose) {
  const handles = handlesOf(extent, pose);
  clearLine(handles.corners, true, "#ffffff", [5, 4]);
  clearLine([handles.top, handles.rotate], false, "#ffffff");
  knob(handles.scale, "#ffffff");
  knob(handles.rotate, "#ffd84d");
}

function near([x, y], [a, b], reach) {
  return Math.hypot(x - a, y - b) <= reach * unit();
}

// What a press at a place takes hold of: "rotate", "scale", "move" or nothing.
function grip(extent, pose, place, coarse) {
  const handles = handlesOf(extent, pose), reach = coarse ? 22 : 12;
  if (near(place, handles.rotate, reach)) return "rotate";
  if (near(place, handles.scale, reach)) return "scale";
  const xs = handles.corners.map(([x]) => x), ys = handles.corners.map(([, y]) => y), margin = 6 * unit();
  const inside =
    place[0] >= Math.min(...xs) - margin && place[0] <= Math.max(...xs) + margin &&
    place[1] >= Math.min(...ys) - margin && place[1] <= Math.max(...ys) + margin;
  return inside ? "move" : null;
}

// A pose after a drag from one place to another.
function dragged(extent, pose, held, from, to) {
  const next = { ...pose };
  const centre = [extent.x + pose.right, extent.y + pose.down];
  if (held === "move") {
    next.right += to[0] - from[0];
    next.down += to[1] - from[1];
  } else if (held === "scale") {
    const share = Math.hypot(to[0] - centre[0], to[1] - centre[1]) / Math.max(1e-6, Math.hypot(from[0] - centre[0], from[1] - centre[1]));
    next.scale = bounded(pose.scale * share);
  } else {
    const turn = Math.atan2(to[1] - centre[1], to[0] - centre[0]) - Math.atan2(from[1] - centre[1], from[0] - centre[0]);
    next.rotate = ((((pose.rotate + (turn * 180) / Math.PI + 180) % 360) + 360) % 360) - 180;
  }
  return next;
}

// A pose after a key; null for a key that means nothing here.
function nudged(pose, event) {
  const far = event.shiftKey ? 10 : 1;
  const step = Math.max(1, Math.round(board.width / 256)) * far;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (moves[event.key]) return { ...pose, right: pose.right + moves[event.key][0], down: pose.down + moves[event.key][1] };
  if (event.key === "+" || event.key === "=") return { ...pose, scale: bounded(pose.scale * 1.05) };
  if (event.key === "-") return { ...pose, scale: bounded(pose.scale / 1.05) };
  if (event.key === "]") return { ...pose, rotate: pose.rotate + 5 };
  if (event.key === "[") return { ...pose, rotate: pose.rotate - 5 };
  return null;
}

function rounded(pose) {
  const shorter = (value, digits) => Number(value.toFixed(digits));
  return { right: shorter(pose.right, 2), down: shorter(pose.down, 2), scale: shorter(pose.scale, 4), rotate: shorter(pose.rotate, 2) };
}

let pose = { ...REST };
const poseFields = Object.fromEntries(Object.keys(REST).map((name) => [name, find(`[data-${name}]`)]));

function showPose() {
  for (const [name, field] of Object.entries(poseFields)) field.value = Math.round(name === "scale" ? pose.scale * 100 : pose[name]);
}

// Calls back with the pose as it would be with a number that was typed.
function whenTyped(apply) {
  for (const [name, field] of Object.entries(poseFields)) {
    field.addEventListener("change", () => {
      const number = field.valueAsNumber;
      if (Number.isFinite(number)) apply({ ...pose, [name]: name === "scale" ? bounded(number / 100) : number });
      showPose();
    });
  }
}
