// Draws every chart of the page from the JSON beside it. plotly.js is the copy in this folder.
document.addEventListener("DOMContentLoaded", () => {
  const sheets = new Map();
  for (const script of document.querySelectorAll("script.sprites")) {
    attempt(script.parentElement, () => {
      const sheet = JSON.parse(script.textContent);
      if (sheet.image.startsWith("data:image/")) sheets.set(sheet.id, sheet);
    });
  }
  for (const figure of document.querySelectorAll("figure.chart")) attempt(figure, () => draw(figure, sheets));
});
// What fails at one chart is said there, and the others are drawn.
function attempt(place, work) {
  const failed = error => {
    console.error(error);
    const note = document.createElement("p");
    note.className = "facts";
    note.textContent = `This could not be drawn: ${error?.message ?? error}`;
    place.append(note);
  };
  try {
    Promise.resolve(work()).catch(failed);
  } catch (error) {
    failed(error);
  }
}
function draw(figure, sheets) {
  const chart = JSON.parse(figure.querySelector("script").textContent);
  const layout = Object.assign({}, chart.layout, { autosize: true });
  delete layout.width;
  const plot = figure.querySelector(".plot");
  if (layout.height) plot.style.height = `${layout.height}px`;
  // What the figure's caption says already.
  if (figure.querySelector("figcaption")) {
    delete layout.title;
    layout.margin = Object.assign({}, layout.margin, { t: 28 });
  }
  for (const name of Object.keys(layout).filter(name => /^xaxis/.test(name))) layout[name] = wrapped(layout[name], plot.clientWidth);
  // On a phone a legend beside the chart would leave no room for the chart; a slider has its place below the axis.
  const y = layout.sliders ? -0.6 : -0.25;
  if (plot.clientWidth < 560) layout.legend = Object.assign({}, layout.legend, { orientation: "h", x: 0, y, yanchor: "top" });
  // No text of a chart is a formula: MathJax obeys links, and names come from strangers.
  const fixed = { displaylogo: false, responsive: true, plotlyServerURL: "", typesetMath: false };
  const settings = Object.assign({}, chart.config, fixed);
  // With a sheet, image and text appear together; plotly's own label would only cover the points.
  const sheet = sheets.get(layout.meta?.sprites);
  const data = sheet ? chart.data.map(trace => Object.assign({}, trace, { hoverinfo: "none" })) : chart.data;
  return Promise.resolve(Plotly.newPlot(plot, data, layout, settings)).then(() => sheet && followPointer(plot, sheet));
}
// The title of an axis in as many lines as the width asks for; its text is escaped already.
function wrapped(axis, width) {
  const text = axis?.title?.text ?? axis?.title;
  if (typeof text !== "string") return axis;
  const most = Math.max(20, Math.floor((width - 60) / 6.6));
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines[lines.length - 1];
    if (last && last.length + word.length >= most) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  const title = Object.assign({}, typeof axis.title === "object" ? axis.title : {}, { text: lines.join("<br>") });
  return Object.assign({}, axis, { title, automargin: true });
}
// A printed page is narrower than the window: charts follow.
window.addEventListener("beforeprint", () => {
  for (const plot of document.querySelectorAll("figure.chart .plot")) Plotly.Plots.resize(plot);
});

// Shows the image of the point under the pointer, or of the point that a finger taps.
const SCALE = 3;
let picture = null;
function followPointer(plot, sheet) {
  const show = event => {
    const point = event.points[0];
    if (Number.isInteger(point.customdata)) showPicture(sheet, point.customdata, point.hovertext ?? "", event.event, plot);
  };
  plot.on("plotly_hover", show);
  plot.on("plotly_click", show);
  plot.on("plotly_unhover", hidePicture);
}
function hidePicture() {
  if (picture) picture.hidden = true;
}
// The picture belongs to one place in the window; a tap beside the points puts it away.
window.addEventListener("scroll", hidePicture, { passive: true });
window.addEventListener("pointerdown", hidePicture, { passive: true });

function showPicture(sheet, index, text, event, plot) {
  if (!picture) {
    picture = document.createElement("div");
    picture.className = "under-pointer";
    picture.append(document.createElement("div"), document.createElement("span"));
    document.body.append(picture);
  }
  const [image, caption] = picture.children;
  const side = sheet.side * SCALE;
  const column = index % sheet.columns, line = Math.floor(index / sheet.columns);
  if (picture.dataset.sheet !== sheet.id) {
    picture.dataset.sheet = sheet.id;
    Object.assign(image.style, {
      width: `${side}px`, height: `${side}px`,
      backgroundImage: `url("${sheet.image}")`, backgroundSize: `${sheet.columns * side}px auto`,
    });
  }
  image.style.backgroundPosition = `-${column * side}px -${line * side}px`;
  // Escaped text with <br> between lines becomes plain text; nothing in it is ever run or fetched.
  const inert = new DOMParser().parseFromString(text.replaceAll("<br>", "\n"), "text/html");
  caption.textContent = inert.body.textContent;
  picture.hidden = false;
  const box = plot.getBoundingClientRect();
  const at = event?.changedTouches?.[0] ?? event?.touches?.[0] ?? event;
  const x = at?.clientX ?? box.left + box.width / 2, y = at?.clientY ?? box.top + box.height / 2;
  // Right of and above the pointer; on the other side where the window ends.
  const gap = 16, width = picture.offsetWidth, height = picture.offsetHeight;
  const left = x + gap + width <= document.documentElement.clientWidth ? x + gap : x - gap - width;
  const top = y - gap - height >= 0 ? y - gap - height : y + gap;
  picture.style.left = `${Math.max(0, left)}px`;
  picture.style.top = `${Math.max(0, Math.min(top, window.innerHeight - height))}px`;
}
