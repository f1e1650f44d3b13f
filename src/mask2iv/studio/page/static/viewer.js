// One video, or two under a slider that run together.
const find = (selector) => element.querySelector(selector);
const choices = { first: find("[data-first]"), second: find("[data-second]") };
const videos = { first: find('[data-video="first"]'), second: find('[data-video="second"]') };
const split = find("[data-split]");

function options(select, results, none) {
  const kept = select.value;
  select.replaceChildren();
  if (none) select.append(new Option("nothing", ""));
  for (const result of results) select.append(new Option(result.title, String(result.number)));
  return kept;
}

function show(name) {
  const result = (props.value.results || []).find((one) => String(one.number) === choices[name].value);
  const address = result ? result.video : "";
  if (videos[name].getAttribute("src") === address) return;
  if (address) videos[name].setAttribute("src", address);
  else videos[name].removeAttribute("src");
  videos[name].load();
  if (result) videos[name].play().catch(() => {});
}

function lay() {
  const both = Boolean(choices.second.value);
  videos.second.hidden = find(".edge").hidden = find(".split").hidden = !both;
  videos.first.controls = !both;
  videos.second.style.clipPath = `inset(0 0 0 ${split.value}%)`;
  find(".edge").style.left = `${split.value}%`;
}

function refresh() {
  const { results = [], shown = null } = props.value || {};
  element.hidden = !results.length;
  options(choices.first, results, false);
  const second = options(choices.second, results, true);
  if (shown) choices.first.value = String(shown);
  choices.second.value = results.some((one) => String(one.number) === second) ? second : "";
  show("first");
  show("second");
  lay();
}

for (const name of ["first", "second"]) {
  choices[name].addEventListener("change", () => {
    show(name);
    lay();
    if (name === "first") trigger("show", { number: Number(choices.first.value) });
  });
}
split.addEventListener("input", lay);
videos.first.addEventListener("timeupdate", () => {
  const other = videos.second;
  if (!other.hidden && Math.abs(other.currentTime - videos.first.currentTime) > 0.08) other.currentTime = videos.first.currentTime;
});
watch("value", refresh);
refresh();
