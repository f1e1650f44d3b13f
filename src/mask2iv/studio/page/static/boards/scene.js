// The picture: marking the object (and an actor that is seen), and dragging the object to where it shall end.
let masks = { object: null, actor: null, target: null }, cut = null, extent = null;
let placed = false, drag = null, corner = null, sendTimer = 0;
const tools = findAll("[data-tool]"), marked = find("[data-marked]");
const HINTS = {
  point: "Click on the object. Keys: arrows move the cross, Enter selects.",
  box: "Draw a box around the object. Keys: Enter sets one corner, then the other.",
  brush: "Paint over the object. Keys: Enter puts a dab at the cross.",
  erase: "Paint over what does not belong to it. Keys: Enter puts a dab at the cross.",
  place: "Drag the object to where it shall end; the corner scales, the yellow knob turns. Keys: arrows, + and −, [ and ].",
};

async function refresh() {
  const value = props.value || {};
  if (value.width !== board.width || value.height !== board.height || !board.picture) {
    fitBoard(value.width || 256, value.height || 160);
    board.cursor = null;
  }
  const images = await Promise.all([value.image, value.object, value.actor, value.target].map(loaded));
  if (value !== props.value && JSON.stringify(value) !== JSON.stringify(props.value)) return;
  board.picture = images[0];
  masks = { object: images[1], actor: tinted(images[2], GREEN), target: tinted(images[3], "#ffd84d") };
  extent = extentOf(masks.object);
  cut = masks.object ? cutOut(masks.object) : null;
  pose = value.pose ? { ...value.pose } : { ...REST };
  placed = Boolean(value.pose);
  masks.object = tinted(masks.object, RED);
  drag = corner = null;
  element.dataset.empty = String(!board.picture);
  showPose();
  answered();
  draw();
}

function draw() {
  pen.setTransform(board.zoom, 0, 0, board.zoom, 0, 0);
  pen.clearRect(0, 0, board.width, board.height);
  if (!board.picture) return;
  pen.drawImage(board.picture, 0, 0, board.width, board.height);
  pen.globalAlpha = 0.5;
  if (masks.actor) pen.drawImage(masks.actor, 0, 0);
  if (masks.object) pen.drawImage(masks.object, 0, 0);
  if (masks.target && !placed && board.tool !== "place") pen.drawImage(masks.target, 0, 0);
  pen.globalAlpha = 1;
  if (cut && extent && (placed || board.tool === "place")) {
    pen.globalAlpha = 0.9;
    drawPosed(cut, extent, pose);
    pen.globalAlpha = 1;
    if (placed) clearLine([[extent.x, extent.y], [extent.x + pose.right, extent.y + pose.down]], false, "#ffd84d", [4, 4]);
    if (board.tool === "place") drawHandles(extent, pose);
  }
  if (drag && drag.points && drag.points.length) {
    const colour = drag.tool === "erase" ? "#ffffff" : marked.value === "actor" ? GREEN : RED;
    pen.globalAlpha = 0.65;
    drawStroke(drag.points, colour);
    pen.globalAlpha = 1;
  }
  const second = drag && drag.to ? drag.to : board.cursor;
  const first = drag && drag.from && drag.tool === "box" ? drag.from : corner;
  if (first && second) {
    clearLine([first, [second[0], first[1]], second, [first[0], second[1]]], true, "#ffd84d", [5, 4]);
  }
  if (board.tool !== "place") drawCursor();
}

function useTool(name) {
  board.tool = name;
  corner = drag = null;
  press(tools, name);
  find("[data-hint]").textContent = HINTS[name];
  find("[data-brush]").hidden = !["brush", "erase"].includes(name);
  find("[data-pose]").hidden = name !== "place";
  canvas.dataset.tool = name;
  if (name === "place" && masks.target && !placed && extent) showPose();
  draw();
}

function sendPose(wait) {
  clearTimeout(sendTimer);
  sendTimer = setTimeout(() => ask("place", rounded(pose)), wait);
}

function box(from, to) {
  const [x, y] = [Math.min(from[0], to[0]), Math.min(from[1], to[1])];
  const size = [Math.abs(from[0] - to[0]), Math.abs(from[1] - to[1])];
  if (size[0] < 2 || size[1] < 2) return;
  ask("segment", { prompt: [x, y, ...size].map((number) => Math.round(number)), marked: marked.value });
}

function stroke(points, tool) {
  const data = { points: shortened(points), width: brushWidth(), add: tool === "brush", marked: marked.value };
  ask("stroke", data);
}

canvas.addEventListener("pointerdown", (event) => {
  if (!board.picture || event.button) return;
  const at = placeOf(event);
  canvas.focus({ preventScroll: true });
  if (board.tool === "point") {
    ask("segment", { prompt: at.map(Math.round), marked: marked.value });
    return;
  }
  if (board.tool === "place") {
    const held = extent && grip(extent, pose, at, event.pointerType === "touch");
    if (!held) return;
    drag = { tool: "place", held, from: at, pose: { ...pose } };
  } else {
    drag = { tool: board.tool, from: at, to: at, points: board.tool === "box" ? null : [at] };
  }
  canvas.setPointerCapture(event.pointerId);
  event.preventDefault();
  draw();
});

canvas.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const at = placeOf(event);
  if (drag.tool === "place") {
    pose = dragged(extent, drag.pose, drag.held, drag.from, at);
    placed = true;
    showPose();
  } else if (drag.points) drag.points.push(at);
  drag.to = at;
  draw();
});

canvas.addEventListener("pointerup", () => {
  if (!drag) return;
  const done = drag;
  if (done.tool !== "brush" && done.tool !== "erase") drag = null;
  if (done.tool === "place" && placed) sendPose(0);
  else if (done.tool === "box") box(done.from, done.to);
  else if (done.points) {
    stroke(done.points, done.tool);
    drag = { ...done, held: "sent" };
  }
  draw();
});
canvas.addEventListener("pointercancel", () => {
  drag = null;
  draw();
});

canvas.addEventListener("keydown", (event) => {
  if (!board.picture) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") ask("undo");
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (board.tool === "place") {
    const next = extent && nudged(pose, event);
    if (!next) return;
    pose = next;
    placed = true;
    showPose();
    sendPose(500);
  } else if (event.key === "Enter" || event.key === " ") {
    const at = board.cursor || [board.width / 2, board.height / 2];
    board.cursor = at;
    if (board.tool === "point") ask("segment", { prompt: at.map(Math.round), marked: marked.value });
    else if (board.tool === "box") {
      if (corner) box(corner, at);
      corner = corner ? null : at;
    } else stroke([at], board.tool);
  } else if (event.key === "Escape") corner = null;
  else if (!moveCursor(event)) return;
  event.preventDefault();
  draw();
});

whenTyped((next) => {
  pose = next;
  placed = true;
  sendPose(0);
  draw();
});
for (const button of tools) button.addEventListener("click", () => useTool(button.dataset.tool));
find("[data-undo]").addEventListener("click", () => ask("undo"));
find("[data-clear]").addEventListener("click", () => ask("clear", { marked: marked.value }));
find("[data-unplace]").addEventListener("click", () => ask("unplace"));
keepShown(draw, refresh);
useTool("point");
refresh();
