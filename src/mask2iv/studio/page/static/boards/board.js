// A picture to work on with pointer and keyboard; what both boards share. Coordinates are pixels of the picture.
const find = (selector) => element.querySelector(selector);
const findAll = (selector) => [...element.querySelectorAll(selector)];
const canvas = find("canvas"), pen = canvas.getContext("2d");
const GREEN = "#16c05e", RED = "#ff4133", BLUE = "#3b82f6", INK = "#111827";
const board = { width: 256, height: 160, picture: null, cursor: null, tool: "", zoom: 1 };

function fitBoard(width, height) {
  board.width = width;
  board.height = height;
  const wanted = Math.min(2, Math.max(1, 1280 / Math.max(width, height)));
  canvas.width = Math.round(width * wanted);
  canvas.height = Math.round(height * wanted);
  canvas.style.aspectRatio = `${width} / ${height}`;
  board.zoom = canvas.width / width;
}

// Draws anew where the focus or the size changes, and refreshes where the value does.
function keepShown(draw, refresh) {
  canvas.addEventListener("focus", draw);
  canvas.addEventListener("blur", draw);
  new ResizeObserver(draw).observe(canvas);
  watch("value", refresh);
}

// How many pixels of the picture one pixel of the screen is: handles and lines keep their size on the screen.
function unit() {
  return board.width / Math.max(1, canvas.getBoundingClientRect().width);
}

function placeOf(event) {
  const seen = canvas.getBoundingClientRect();
  return [
    ((event.clientX - seen.left) * board.width) / seen.width,
    ((event.clientY - seen.top) * board.height) / seen.height,
  ];
}

function loaded(address) {
  if (!address) return Promise.resolve(null);
  return new Promise((done) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => done(null);
    image.src = address;
  });
}

function sheet(width, height) {
  const made = document.createElement("canvas");
  made.width = width;
  made.height = height;
  return made;
}

// An image with alpha in one colour.
function tinted(mask, colour) {
  if (!mask) return null;
  const made = sheet(board.width, board.height), brush = made.getContext("2d");
  brush.drawImage(mask, 0, 0, board.width, board.height);
  brush.globalCompositeOperation = "source-in";
  brush.fillStyle = colour;
  brush.fillRect(0, 0, board.width, board.height);
  return made;
}

// The picture where a mask is.
function cutOut(mask) {
  const made = sheet(board.width, board.height), brush = made.getContext("2d");
  brush.drawImage(mask, 0, 0, board.width, board.height);
  brush.globalCompositeOperation = "source-in";
  if (board.picture) brush.drawImage(board.picture, 0, 0, board.width, board.height);
  return made;
}

// Centroid and extent of what is opaque; null if nothing is.
function extentOf(image) {
  if (!image) return null;
  const made = sheet(board.width, board.height), brush = made.getContext("2d", { willReadFrequently: true });
  brush.drawImage(image, 0, 0, board.width, board.height);
  const { data } = brush.getImageData(0, 0, board.width, board.height);
  let count = 0, sumX = 0, sumY = 0, left = Infinity, right = -1, top = Infinity, bottom = -1;
  for (let y = 0, i = 3; y < board.height; y++) {
    for (let x = 0; x < board.width; x++, i += 4) {
      if (data[i] < 128) continue;
      count++;
      sumX += x;
      sumY += y;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  if (!count) return null;
  return { x: sumX / count, y: sumY / count, left, right, top, bottom };
}

function line(points, closed, colour, width, dashes = []) {
  pen.save();
  pen.beginPath();
  points.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  if (closed) pen.closePath();
  pen.lineJoin = pen.lineCap = "round";
  pen.setLineDash(dashes.map((length) => length * unit()));
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke();
  pen.restore();
}

// A line that is seen on light and on dark pictures.
function clearLine(points, closed, colour, dashes = []) {
  line(points, closed, INK, 3.5 * unit());
  line(points, closed, colour, 1.75 * unit(), dashes);
}

function knob([x, y], colour) {
  pen.beginPath();
  pen.arc(x, y, 6 * unit(), 0, 2 * Math.PI);
  pen.fillStyle = colour;
  pen.fill();
  pen.lineWidth = 1.5 * unit();
  pen.strokeStyle = INK;
  pen.stroke();
}

// A place that the arrow keys move, for tools that point.
function drawCursor() {
  if (!board.cursor || document.activeElement !== canvas) return;
  const [x, y] = board.cursor, arm = 10 * unit();
  clearLine([[x - arm, y], [x + arm, y]], false, "#ffd84d");
  clearLine([[x, y - arm], [x, y + arm]], false, "#ffd84d");
}

function moveCursor(event) {
  const step = (board.width / 100) * (event.shiftKey ? 5 : 1);
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  const move = moves[event.key];
  if (!move) return false;
  const [x, y] = board.cursor || [board.width / 2, board.height / 2];
  board.cursor = [Math.min(board.width - 1, Math.max(0, x + move[0])), Math.min(board.height - 1, Math.max(0, y + move[1]))];
  return true;
}

// The brush is as wide as its slider says in hundredths of the picture's longer side, and at least one pixel.
function brushWidth() {
  return Math.max(1, (Number(find("[data-width]").value) * Math.max(board.width, board.height)) / 200);
}

function shortened(points) {
  return points.map(([x, y]) => [Number(x.toFixed(1)), Number(y.toFixed(1))]);
}

function drawStroke(points, colour) {
  line(points.length > 1 ? points : [points[0], points[0]], false, colour, brushWidth());
}

function press(buttons, chosen) {
  for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.tool === chosen));
}

// Asks the server, one thing after the other; what is asked shows as work until a new value comes.
const waiting = [];
let busyTimer = 0;
function ask(name, data) {
  waiting.push([name, data || {}]);
  if (waiting.length === 1) send();
}
function send() {
  element.setAttribute("aria-busy", "true");
  busyTimer = setTimeout(answered, 30000);
  trigger(...waiting[0]);
}
function answered() {
  clearTimeout(busyTimer);
  waiting.shift();
  if (waiting.length) send();
  else element.removeAttribute("aria-busy");
}
