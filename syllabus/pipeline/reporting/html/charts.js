// Charts by plotly, whose script takes longer than all the rest: each is drawn when it is about to be seen.
const CHARTS = new Map();
const LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const watcher = new IntersectionObserver((entries) => entries.filter((each) => each.isIntersecting).forEach((each) => {
  watcher.unobserve(each.target);
  draw(each.target);
}), { rootMargin: "300px" });
let library = null;

function chart(height, traces, layout = {}) {
  const place = el("div", { className: "chart" });
  place.style.height = place.style.minHeight = `${height}px`;
  CHARTS.set(place, { traces, layout, drawn: false });
  watcher.observe(place);
  return place;
}

function loaded() {
  library ??= unpacked("plotly").then((text) => new Promise((resolve, reject) => {
    const source = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    document.body.append(el("script", { src: source, onload: resolve, onerror: reject }));
  }));
  return library;
}

async function draw(place) {
  await loaded();
  await new Promise((go) => setTimeout(go)); // the page answers in between
  const { traces, layout } = CHARTS.get(place), axes = {};
  const axis = { gridcolor: style("--grid"), linecolor: style("--line"), zerolinecolor: style("--line"), tickcolor: style("--line"), automargin: true, fixedrange: true };
  for (const name of ["xaxis", "yaxis"]) axes[name] = { ...axis, ...layout[name], title: { standoff: 10, ...layout[name]?.title } };
  const label = { bgcolor: style("--panel"), bordercolor: style("--line"), font: { color: style("--ink") } };
  await window.Plotly.react(place, traces(), {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: style("--ink") },
    margin: { l: 12, r: 22, t: 10, b: 12 }, hoverlabel: label, ...layout, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", ...layout.legend }, ...axes,
  }, { displayModeBar: false, responsive: true });
  CHARTS.get(place).drawn = true;
}

// In the colours of the theme.
function redraw() {
  for (const [place, { drawn }] of CHARTS) if (drawn) draw(place);
}

// The last label lies half beyond the axis.
const percent = { tickformat: ".0%", ticklabeloverflow: "allow" };

function gainsChart(content) {
  return chart(300, () => content.subsets.map((subset, place) => ({
    x: subset.gains[0], y: subset.gains[1], name: share(subset.fraction), mode: "lines", line: { color: LINES[place % LINES.length], width: 2 },
    hovertemplate: "%{x:.0%} of the picks: gain %{y:.4~g}<extra></extra>",
  })), {
    showlegend: content.subsets.length > 1,
    xaxis: { ...percent, title: { text: "rank, as a share of a class's picks" }, range: [0, 1] }, yaxis: { title: { text: "mean gain" } },
  });
}

// f of random subsets is 0, greedy's 1: what is between says what choosing is worth.
function valuesChart(content) {
  const known = content.subsets.filter((each) => each.gain && each.greedy !== null && each.greedy > each.random);
  if (!known.length) return null;
  const names = known.map((each) => share(each.fraction));
  const bound = (each) => (each.upper_bound === null || each.upper_bound === undefined ? null : (each.upper_bound - each.random) / (each.greedy - each.random));
  const marks = (name, values, symbol, colour, size = 12) => ({ x: values, y: names, name, mode: "markers", marker: { symbol, size, color: colour, line: { width: 1, color: style("--panel") } }, hovertemplate: `%{y}: ${name} %{x:.3f}<extra></extra>` });
  return chart(200 + 40 * known.length, () => [
    marks("random", known.map(() => 0), "circle", style("--faint")),
    marks("least of the subsets", known.map((each) => each.gain.least), "line-ns-open", "#56b4e9", 16),
    marks("mean of the subsets", known.map((each) => each.gain.mean), "diamond", "#0072b2", 13),
    marks("greedy", known.map(() => 1), "circle", "#009e73"),
    marks("upper bound", known.map(bound), "triangle-left", "#d55e00", 13),
  ], { xaxis: { title: { text: "0: random subsets, 1: greedy's" }, zeroline: false }, yaxis: { type: "category", title: { text: "fraction" } } });
}

function budgetsChart(content, labels) {
  const parts = content.partitions.slice(0, 40).reverse();
  const names = parts.map((part) => part.partition);
  const text = parts.map((part) => plain(labels.name(part.partition), 22));
  const total = content.partitions.reduce((sum, part) => sum + part.examples, 0);
  const bar = (name, values, colour) => ({ type: "bar", orientation: "h", y: names.map(String), x: values, name, marker: { color: colour }, customdata: text, hovertemplate: `%{customdata}: %{x:.2%}<extra>${name}</extra>` });
  return chart(90 + Math.max(3, parts.length) * (parts.length > 15 ? 21 : 34), () => [
    ...content.subsets.filter((each) => each.partitions).slice(-2).reverse().map((subset, place) => bar(`subset of ${share(subset.fraction)}`, names.map((number) => subset.partitions[number] / subset.budget), ["#0072b2", "#56b4e9"][place])),
    bar("all data", parts.map((part) => (content.unit === "examples" ? part.examples / total : part.weight / content.total)), style("--faint")),
  ], {
    barmode: "group", bargap: 0.3, bargroupgap: 0.05, legend: { traceorder: "reversed" },
    xaxis: { tickformat: ".1~%", title: { text: content.unit === "examples" ? "share of the examples" : `share of ${plain(content.unit)}` } },
    yaxis: { type: "category", tickmode: "array", tickvals: names.map(String), ticktext: text },
  });
}

function importancesChart(content) {
  const least = 1e-4;
  return chart(320, () => [
    ...content.importances.map((each, place) => ({
      x: each.shares, y: each.multiples.map((value) => Math.max(value, least)), name: plain(each.name), mode: "lines", line: { color: LINES[place % LINES.length], width: 2 },
      hovertemplate: "%{x:.0%} of the examples have at most %{y:.3~g} times an even chance<extra></extra>",
    })),
    { x: [0, 1], y: [1, 1], name: "even", mode: "lines", line: { color: style("--faint"), width: 1.5, dash: "dot" }, hoverinfo: "skip" },
  ], { xaxis: { ...percent, title: { text: "share of the examples" }, range: [0, 1] }, yaxis: { type: "log", title: { text: "probability / an even chance" }, tickformat: "~g", nticks: 6 } });
}

function overlapChart(subset) {
  const size = subset.overlaps.length, names = Array.from({ length: size }, (_, place) => place);
  const values = subset.overlaps.map((row, i) => row.map((value, j) => (i === j ? null : value)));
  const made = chart(300, () => [{
    type: "heatmap", z: values, x: names, y: names, texttemplate: size > 8 ? "" : "%{z:.2f}", zmin: 0, zmax: 1, colorscale: [[0, style("--soft")], [0.5, "#56b4e9"], [1, style("--strong")]], xgap: 1, ygap: 1,
    colorbar: { thickness: 10, outlinewidth: 0, tickvals: [0, 0.5, 1] }, hovertemplate: "subsets %{y} and %{x}: %{z:.3f}<extra></extra>",
  }], { xaxis: { title: { text: "subset" }, dtick: size > 8 ? 4 : 1, showgrid: false, zeroline: false, constrain: "domain" }, yaxis: { title: { text: "subset" }, dtick: size > 8 ? 4 : 1, showgrid: false, zeroline: false, autorange: "reversed", scaleanchor: "x" } });
  made.style.maxWidth = "400px";
  return made;
}

function orderChart(order) {
  const steps = (values) => values.map((_, place) => (place + 1) / values.length);
  const line = (name, values, colour, dash) => ({ x: steps(values), y: values, name, mode: "lines", line: { color: colour, width: 2, dash }, hovertemplate: `after %{x:.0%}: %{y:.4~g}<extra>${name}</extra>` });
  return chart(300, () => [line("this order", order.curve, "#0072b2", "solid"), line("random orders, the mean", order.random_curve, "#d55e00", "dash")], {
    xaxis: { ...percent, title: { text: "share of the order" }, range: [0, 1] }, yaxis: { title: { text: "norm of the prefix sum" }, rangemode: "tozero" },
  });
}
