// Draws every chart of the page from the JSON beside it. plotly.js is the copy in this folder.
document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("figure.chart")) {
    const chart = JSON.parse(figure.querySelector("script").textContent);
    const layout = Object.assign({}, chart.layout, { autosize: true });
    delete layout.width;
    const plot = figure.querySelector(".plot");
    if (layout.height) plot.style.height = `${layout.height}px`;
    // On a phone a legend beside the chart would leave no room for the chart.
    if (plot.clientWidth < 560) layout.legend = Object.assign({}, layout.legend, { orientation: "h", x: 0, y: -0.25, yanchor: "top" });
    const settings = Object.assign({}, chart.config, { displaylogo: false, responsive: true, plotlyServerURL: "" });
    Plotly.newPlot(plot, chart.data, layout, settings);
  }
});
// A printed page is narrower than the window: charts follow.
window.addEventListener("beforeprint", () => {
  for (const plot of document.querySelectorAll("figure.chart .plot")) Plotly.Plots.resize(plot);
});
