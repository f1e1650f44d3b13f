// A trajectory: scrubbed through, and changed by dragging what is seen.
const film = { count: 0, fps: 8, labels: [], outlines: [], centres: [], contacts: [] };
let frame = 0, drag = null, sendTimer = 0, player = 0, extent = null, piece = null, rest = null;
const tools = findAll("[data-tool]"), slider = find("[data-frame]"), part = find("[data-part]");
const SHADES = [[0, 0, 0], [22, 192, 94], [255, 65, 51], [59, 130, 246]];
const HINTS = {
  move: "Drag in a later frame: the change grows up to it. The corner scales, the yellow knob turns. Keys: arrows, + and −, [ and ]; Page Up and Page Down change the frame.",
  paint: "Paint the part that is chosen above. Keys: arrows move the cross, Enter puts a dab.",
  erase: "Erase what is painted. Keys: arrows move the cross, Enter puts a dab.",
};
const FIRST = "The first frame is what the picture shows, and stays. Go to a later frame to change something.";

async function refresh() {
  const value = props.value || {};
  element.dataset.empty = String(!value.sprite);
  if (!value.sprite) return answered();
  fitBoard(value.width, value.height);
  const [picture, sprite] = await Promise.all([value.image, value.sprite].map(loaded));
  if (value.serial !== (props.value || {}).serial) return;
  board.picture = picture;
  Object.assign(film, { count: value.frames, fps: value.fps, contacts: value.contacts, outlines: [] });
  readLabels(sprite);
  slider.max = film.count - 1;
  find("[data-begin]").max = film.count - 1;
  find("[data-undo]").disabled = !value.undoable;
  find("[data-redo]").disabled = !value.redoable;
  drag = null;
  pose = { ...REST };
  showMarks();
  answered();
  goTo(Math.min(value.fresh ? film.count - 1 : frame, film.count - 1));
}

function readLabels(sprite) {
  const { width, height } = board, made = sheet(width, height * film.count);
  const brush = made.getContext("2d", { willReadFrequently: true });
  brush.drawImage(sprite, 0, 0);
  film.labels = film.centres = [];
  film.labels = Array.from({ length: film.count }, (_, index) => {
    const { data } = brush.getImageData(0, index * height, width, height);
    const labels = new Uint8Array(width * height);
    for (let i = 0; i < labels.length; i++) if (data[4 * i + 3]) labels[i] = data[4 * i] > 128 ? 2 : data[4 * i + 1] > 128 ? 1 : 3;
    return labels;
  });
  film.centres = film.labels.map((labels) => centreOf(labels, (label) => label === 2));
}

function centreOf(labels, counts) {
  let count = 0, x = 0, y = 0;
  for (let i = 0; i < labels.length; i++) {
    if (!counts(labels[i])) continue;
    count++;
    x += i % board.width;
    y += Math.floor(i / board.width);
  }
  return count ? [x / count, y / count] : null;
}

// Labels as an image; those that do not count are left out.
function painted(labels, counts) {
  const made = sheet(board.width, board.height), brush = made.getContext("2d");
  const pixels = brush.createImageData(board.width, board.height);
  for (let i = 0; i < labels.length; i++) {
    if (!labels[i] || !counts(labels[i])) continue;
    pixels.data.set([...SHADES[labels[i]], 255], 4 * i);
  }
  brush.putImageData(pixels, 0, 0);
  return made;
}

function outline(index) {
  if (film.outlines[index]) return film.outlines[index];
  const labels = film.labels[index], { width } = board, edges = new Uint8Array(labels.length);
  for (let i = width; i < labels.length - width; i++) {
    const label = labels[i];
    if (label && (labels[i - 1] !== label || labels[i + 1] !== label || labels[i - width] !== label || labels[i + width] !== label)) edges[i] = label;
  }
  film.outlines[index] = painted(edges, () => true);
  return film.outlines[index];
}

function chosen(label) {
  return part.value === "all" || (part.value === "object") === (label === 2);
}

// The part that is chosen, apart from the rest of the frame.
function separate() {
  const labels = film.labels[frame];
  if (!labels) return;
  piece = painted(labels, chosen);
  rest = painted(labels, (label) => !chosen(label));
  extent = extentOf(piece);
  // It turns about the object where that is part of what changes.
  const pivot = extent && part.value !== "actors" ? film.centres[frame] : null;
  if (pivot) [extent.x, extent.y] = pivot;
}

function goTo(index) {
  frame = Math.min(film.count - 1, Math.max(0, index));
  slider.value = frame;
  find("[data-number]").value = `${frame} of ${film.count - 1}`;
  slider.setAttribute("aria-valuetext", `frame ${frame} of ${film.count - 1}, ${film.contacts[frame] ? "touching" : "not touching"}`);
  findAll("[data-marks] i").forEach((mark, at) => mark.classList.toggle("now", at === frame));
  pose = { ...REST };
  showPose();
  separate();
  find("[data-hint]").textContent = frame || board.tool !== "move" ? HINTS[board.tool] : FIRST;
  draw();
}

function showMarks() {
  const marks = find("[data-marks]"), touching = film.contacts.filter(Boolean).length;
  marks.setAttribute("aria-label", `Actor and object touch in ${touching} of ${film.count} frames`);
  marks.replaceChildren(...film.contacts.map((contact) => Object.assign(document.createElement("i"), { className: contact ? "touch" : "" })));
}

function draw() {
  pen.setTransform(board.zoom, 0, 0, board.zoom, 0, 0);
  pen.clearRect(0, 0, board.width, board.height);
  if (!board.picture || !film.count) return;
  pen.drawImage(board.picture, 0, 0, board.width, board.height);
  if (find("[data-onion]").checked && !player) {
    for (const [away, strength] of [[-2, 0.3], [2, 0.3], [-1, 0.6], [1, 0.6]]) {
      if (!film.labels[frame + away]) continue;
      pen.globalAlpha = strength;
      pen.drawImage(outline(frame + away), 0, 0);
    }
  }
  pen.globalAlpha = 0.6;
  if (rest) pen.drawImage(rest, 0, 0);
  if (piece && extent) drawPosed(piece, extent, pose);
  pen.globalAlpha = 1;
  if (player) return;
  const way = film.centres.filter(Boolean);
  if (way.length > 1) clearLine(way, false, "#ffffff");
  if (film.centres[frame]) knob(film.centres[frame], "#ff4133");
  if (board.tool === "move" && frame && extent) drawHandles(extent, pose);
  if (drag && drag.points) {
    pen.globalAlpha = 0.7;
    const colour = board.tool === "erase" ? "#ffffff" : part.value === "actors" ? GREEN : RED;
    drawStroke(drag.points, colour);
    pen.globalAlpha = 1;
  }
  if (board.tool !== "move") drawCursor();
}

function useTool(name) {
  board.tool = name;
  drag = null;
  press(tools, name);
  find("[data-brush]").hidden = name === "move";
  find("[data-pose]").hidden = name !== "move";
  canvas.dataset.tool = name;
  if (name !== "move" && part.value === "all") part.value = "object";
  goTo(frame);
}

function sendPose(wait) {
  clearTimeout(sendTimer);
  sendTimer = setTimeout(() => {
    const { right, down, scale, rotate } = rounded(pose);
    if (!right && !down && scale === 1 && !rotate) return;
    const begin = Math.min(frame, Math.max(0, Math.round(Number(find("[data-begin]").value)) || 0));
    const easing = begin === frame ? "step" : find("[data-easing]").value;
    const data = { op: "transform", part: part.value, frames: [begin, frame], move: [right, down], scale, rotate, easing };
    ask("edit", { ...data, after: find("[data-after]").value });
  }, wait);
}

function stroke(points) {
  const label = board.tool === "erase" ? "background" : part.value === "actors" ? "actor" : "object";
  const strokes = [{ points: shortened(points), width: Math.round(brushWidth()) }];
  ask("edit", { op: "paint", label, frames: [frame, find("[data-span]").value === "one" ? frame : null], strokes });
}

function busy() {
  return element.hasAttribute("aria-busy") || !board.picture || !film.count;
}

canvas.addEventListener("pointerdown", (event) => {
  if (busy() || event.button) return;
  stop();
  const at = placeOf(event);
  canvas.focus({ preventScroll: true });
  if (!frame) return void (find("[data-hint]").textContent = FIRST);
  if (board.tool === "move") {
    const held = extent && grip(extent, pose, at, event.pointerType === "touch");
    if (!held) return;
    drag = { held, from: at, pose: { ...pose } };
  } else drag = { points: [at] };
  canvas.setPointerCapture(event.pointerId);
  event.preventDefault();
  draw();
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag || drag.sent) return;
  if (drag.points) drag.points.push(placeOf(event));
  else pose = dragged(extent, drag.pose, drag.held, drag.from, placeOf(event));
  showPose();
  draw();
});
canvas.addEventListener("pointerup", () => {
  if (!drag || drag.sent) return;
  if (drag.points) {
    stroke(drag.points);
    drag.sent = true;
  } else {
    drag = null;
    sendPose(0);
  }
});
canvas.addEventListener("pointercancel", () => {
  drag = null;
  goTo(frame);
});

canvas.addEventListener("keydown", (event) => {
  const command = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
  if (command && (key === "y" || (key === "z" && event.shiftKey))) ask("redo");
  else if (command && key === "z") ask("undo");
  else if (command || event.altKey || busy()) return;
  else if (event.key === "PageUp") goTo(frame - 1);
  else if (event.key === "PageDown") goTo(frame + 1);
  else if (board.tool === "move") {
    const next = frame && extent && nudged(pose, event);
    if (!next) return;
    pose = next;
    showPose();
    sendPose(700);
  } else if ((event.key === "Enter" || event.key === " ") && frame) stroke([board.cursor || [board.width / 2, board.height / 2]]);
  else if (!moveCursor(event)) return;
  event.preventDefault();
  draw();
});

function stop() {
  clearInterval(player);
  player = 0;
  find("[data-play]").textContent = "Play";
  find("[data-play]").setAttribute("aria-pressed", "false");
}

find("[data-play]").addEventListener("click", () => {
  if (player) {
    stop();
    return goTo(frame);
  }
  player = setInterval(() => goTo((frame + 1) % film.count), 1000 / film.fps);
  find("[data-play]").textContent = "Pause";
  find("[data-play]").setAttribute("aria-pressed", "true");
});
slider.addEventListener("input", () => {
  stop();
  goTo(Number(slider.value));
});
whenTyped((next) => {
  if (!frame || busy()) return;
  pose = next;
  sendPose(0);
  draw();
});
const EDITS = {
  hold: () => ({ op: "hold", frame, count: 1 }),
  reverse: () => ({ op: "reverse", frames: [frame, null] }),
  simplify: () => ({ op: "simplify", outline: 1.5 }),
};
for (const button of findAll("[data-edit]")) button.addEventListener("click", () => busy() || ask("edit", EDITS[button.dataset.edit]()));
for (const button of tools) button.addEventListener("click", () => useTool(button.dataset.tool));
part.addEventListener("change", () => goTo(frame));
find("[data-onion]").addEventListener("change", draw);
find("[data-undo]").addEventListener("click", () => ask("undo"));
find("[data-redo]").addEventListener("click", () => ask("redo"));
keepShown(draw, refresh);
useTool("move");
refresh();
