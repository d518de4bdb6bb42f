// The page, section by section; the map first.
function overview(content) {
  const { counts, neighbours, holdout } = content, last = content.subsets.at(-1);
  const facts = [[count(counts.accepted), `examples of ${count(counts.source_rows)} rows`], [count(content.partitions.length), content.clusters ? "clusters" : "classes"]];
  if (content.unit !== "examples") facts.push([count(content.total), `${shorten(flat(content.unit), 24)}, which budgets count`]);
  if (last) facts.push([content.subsets.map((each) => share(each.fraction)).join(" · "), `subsets: ${content.subsets.map((each) => `${count(each.count)} of ${count(each.budget)}`).join(", ")}`]);
  if (last?.gain) facts.push([figure(last.gain.mean, 2), `gain of the subsets of ${share(last.fraction)}: 0 is random, 1 greedy`]);
  if (neighbours?.agreement?.zero_share !== null && neighbours?.agreement) facts.push([share(neighbours.agreement.zero_share), "agree with no neighbour: suspect labels"]);
  if (neighbours) facts.push([share(neighbours.duplicates.share), `near-duplicates, in ${plural(neighbours.duplicates.groups, "group")}`]);
  if (holdout) facts.push([count(holdout.near_duplicates), `of ${count(holdout.rows)} test rows are near an example`]);
  if (counts.rejected) facts.push([count(counts.rejected), counts.rejected === 1 ? "row was rejected" : "rows were rejected"]);
  if (counts.truncated) facts.push([count(counts.truncated), `texts were cut at ${count(content.encoder.max_seq_length)} tokens`]);
  section("overview", "Overview", null,
    el("div", { className: "facts" }, facts.map(([value, text]) => el("div", { className: "fact" }, el("b", {}, value), el("span", {}, text)))),
    content.warnings.map((line) => el("p", { className: "warning" }, line)));
}

const MAPS = {
  pca: { name: "principal axes", lead: "Every example lies where its embedding's two leading principal axes put it." },
  umap: { name: "UMAP: who is near whom", lead: "UMAP puts points beside their nearest neighbours by cosine; how far apart groups lie, and how large they are, says little." },
};

function mapSection(content, points, labels, examples) {
  const { preview } = content, canvas = el("canvas", { id: "plane", tabIndex: 0, ariaLabel: "map of the embeddings" });
  const button = (text, title, act) => { const made = el("button", { type: "button", title }, text); made.addEventListener("click", act); return made; };
  const controls = el("div", { className: "controls" });
  const live = preview.rows === content.counts.accepted ? "Each of them is a live point." : `${count(preview.rows)} of them are live points: chance drew ${preview.drawn < preview.rows ? `${count(preview.drawn)}, the rest are picks, suspects and near-duplicates` : "them"}.`;
  const made = section("map", "Map", " ", el("div", { className: "map" }, el("div", { className: "plane" }, canvas), controls));
  const lead = (map) => { made.querySelector(".lead").textContent = `${MAPS[map.name].lead} The colour behind the points counts ${map.counted === content.counts.accepted ? `all ${count(map.counted)} examples` : `the ${count(map.counted)} of them that chance drew`}. ${live}`; };
  const plane = new Plane(content, points, labels, canvas);
  canvas.parentElement.append(el("div", { className: "zoom" }, button("+", "closer", () => plane.zoom(1.5)), button("−", "farther", () => plane.zoom(1 / 1.5)), button("⟲", "all", () => plane.whole())));
  lead(plane.map);
  const switches = content.maps.length < 2 ? null : el("fieldset", { id: "maps" }, el("legend", {}, "Map"), content.maps.map((map, place) => {
    const box = el("input", { type: "radio", name: "map", value: map.name, checked: place === 0 });
    box.addEventListener("change", () => { plane.show(map); lead(map); });
    return el("label", { className: "choice" }, box, el("span", {}, MAPS[map.name].name));
  }));
  const layers = el("fieldset", {}, el("legend", {}, "Show"), LAYERS.filter(([layer]) => layer === "points" || points[{ suspects: "suspect" }[layer] ?? layer].some((value) => value > (layer === "copies" ? 1 : layer === "suspects" ? 0 : -1))).map(([layer, sign, name, title]) => {
    const box = el("input", { type: "checkbox", checked: plane.layers.has(layer), id: `layer-${layer}` }), mark = el("i", {}, sign);
    mark.style.color = `var(--${{ suspects: "suspect", points: "faint" }[layer] ?? layer})`;
    box.addEventListener("change", () => { plane.layers[box.checked ? "add" : "delete"](layer); plane.draw(); });
    return el("label", { className: "choice", title }, box, mark, el("span", {}, name));
  }));
  // Small budgets are the interesting ones: the slider is quadratic.
  const stored = Math.max(0, ...content.subsets.map((each) => each.fraction)), most = content.hard ? 1 : stored;
  const slider = el("input", { type: "range", id: "budget", min: 0, max: 1000, value: Math.round(1000 * Math.sqrt(plane.budget / most)), ariaLabel: "budget" });
  const told = el("div", { className: "quiet", id: "told" });
  slider.addEventListener("input", () => { plane.budget = most * (slider.value / 1000) ** 2; plane.draw(); });
  plane.onDraw = () => {
    told.textContent = `the first ${share(plane.budget)} of each class by rank: ${count(plane.counts.easy)} easy and ${count(plane.counts.hard)} hard picks among the points` + (stored && plane.budget > stored * 1.001 ? `; subsets end at ${share(stored)}` : "");
  };
  const budget = el("fieldset", {}, el("legend", {}, "Budget"), slider, told);
  const numbers = [...labels.apart, ...(content.maps.at(-1).partitions.some((each) => each.partition === -1) ? [-1] : [])];
  const boxes = numbers.map((number) => el("input", { type: "checkbox", checked: true, value: number }));
  const refresh = () => { plane.shown = new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value))); plane.paintDensity(); plane.draw(); };
  const rows = numbers.map((number, place) => {
    boxes[place].addEventListener("change", refresh);
    const size = number === -1 ? content.counts.accepted - labels.apart.reduce((sum, each) => sum + labels.size(each), 0) : labels.size(number);
    return el("label", { className: "choice", title: `${labels.name(number)}: double-click to see it alone` }, boxes[place], swatch(labels.colour(number)), el("span", {}, labels.name(number)), el("small", {}, count(size)));
  });
  rows.forEach((row, place) => row.addEventListener("dblclick", (event) => { event.preventDefault(); boxes.forEach((box, other) => { box.checked = other === place; }); refresh(); }));
  const all = (checked) => () => { boxes.forEach((box) => { box.checked = checked; }); refresh(); };
  const filter = el("fieldset", { id: "labels" }, el("legend", {}, `${content.clusters ? "Clusters" : "Classes"} (${count(content.partitions.length)})`), el("div", { className: "labels" }, rows), el("div", { className: "links" }, button("all", "show all", all(true)), button("none", "hide all", all(false))));
  const kept = points.mapped.filter((at) => points.contents[at]).length;
  const what = preview.texts ? "text" : "image";
  const note = preview.texts || preview.thumbnails ? `Hover over a point, or tap it. ${count(kept)} of ${plural(preview.rows, "point")} show their ${what} here; zoom by wheel, move by dragging.` : "Hover over a point, or tap it, for its name; zoom by wheel, move by dragging.";
  controls.append(...[switches].filter(Boolean), layers, budget, filter, el("div", { className: "quiet" }, note));
  const card = document.getElementById("card");
  plane.onHover = (at, x, y) => {
    card.hidden = at === null;
    if (at === null) return;
    const found = [];
    if (points.easy[at] >= 0) found.push(`easy pick at ${share(points.easy[at] / RANKS)}`);
    if (points.hard[at] >= 0) found.push(`by importance at ${share(points.hard[at] / RANKS)}`);
    if (points.suspect[at]) found.push("suspect: no neighbour agrees");
    if (points.copies[at] > 1) found.push(`one of ${count(points.copies[at])} near-duplicates`);
    card.replaceChildren(examples.head(at), ...[examples.content(at)].filter(Boolean), quiet(found.join(" · ")));
    const right = document.documentElement.scrollLeft + document.documentElement.clientWidth - card.offsetWidth - 10;
    card.style.left = `${Math.max(10, Math.min(x + 16, right))}px`;
    card.style.top = `${y + 18}px`;
  };
  window.syllabusMap = plane;
  return made;
}

function subsetSections(content, labels) {
  const known = content.subsets.filter((each) => each.objective);
  if (content.subsets.length) {
    const certificate = (each) => (each.upper_bound ? share(each.greedy / each.upper_bound) : "–");
    section("subsets", "Subsets", `Easy subsets${known.length ? ` by ${flat(known[0].objective)}` : ""}. A gain is what a pick added; it falls, and where it is flat more picks add little. The certificate says that greedy's value is at least this share of the best possible.`,
      el("div", { className: "columns" }, el("div", {}, el("h3", {}, "Gain by rank"), gainsChart(content)), el("div", {}, el("h3", {}, "What choosing is worth"), valuesChart(content) ?? quiet("Greedy is no better than random subsets of this size."))),
      table(["fraction", "budget", "subsets", "gain, mean", "gain, least", "Jaccard", "examples in any", "certificate"],
        content.subsets.map((each) => [share(each.fraction), count(each.budget), count(each.count), figure(each.gain?.mean), figure(each.gain?.least), figure(each.jaccard, 2), each.covered === null || each.covered === undefined ? "–" : share(each.covered), certificate(each)]), [0, 1, 2, 3, 4, 5, 6, 7]));
    const several = content.subsets.filter((each) => each.overlaps.length > 1).slice(-2);
    if (several.length) section("overlap", "Overlap", "The Jaccard index of two subsets: what they share, of what either has. 1 are equal subsets.", el("div", { className: "columns" }, several.map((each) => el("div", {}, el("h3", {}, `Subsets of ${share(each.fraction)}`), overlapChart(each)))));
    if (content.partitions.length > 1 && content.subsets.some((each) => each.partitions)) section("classes", content.clusters ? "Clusters" : "Classes", `What each has of all data and of a subset; budgets are ${{ proportional: "in proportion to the classes", equal: "equal", sqrt: "by the square root of the classes' sizes" }[Object.fromEntries(content.options).budgets] ?? "divided by a rule"}.${content.partitions.length > 40 ? " The 40 largest." : ""}`, budgetsChart(content, labels));
  }
  if (content.importances.length) section("importances", "Importances", "How unequal draws are. The effective sample size is 1 where all examples of a class have an even chance, .1 where as good as a tenth of them is drawn from.",
    content.notes.map((line) => el("p", { className: "warning" }, line)), importancesChart(content),
    table(["importance", "map", "ESS, mean", "least", "greatest", ...(content.importances[0].draws ?? []).map((each) => `draws of ${share(each.fraction)}`)],
      content.importances.map((each) => [flat(each.name), each.map ?? "–", figure(each.ess?.mean), figure(each.ess?.least), figure(each.ess?.greatest), ...(each.draws ?? []).map((draw) => figure(draw.mean))]), [2, 3, 4, 5, 6, 7, 8]));
  if (content.orders.length) section("orders", "Orders", "The norm of the sum of the first centred embeddings. Small is even: every stretch of the order then looks like the whole. Beside it random orders.",
    content.orders.map((order) => [order.curve?.length && order.random_curve?.length ? orderChart(order) : null,
      table(["order", "l2", "l2, random", "l∞", "l∞, random"], [[flat(order.name), figure(order.discrepancy?.l2), figure(order.random?.l2), figure(order.discrepancy?.linf), figure(order.random?.linf)]], [1, 2, 3, 4])]));
}

function hygieneSections(content, examples) {
  const { hygiene, neighbours, holdout } = content, of = (name, what) => `${plural(hygiene[name].found, what)}. `;
  if (hygiene.suspects?.found) section("suspects", "Suspects", of("suspects", "example") + `${neighbours.agreement.kind === "number" ? "Their number is far from that of their neighbours" : `None of the ${neighbours.k} nearest neighbours shares their label`}: the label may be wrong. ${neighbours.agreement.kind === "number" ? "The farthest" : "Those whose near neighbours agree most on another label"} first.`, items(content.suspects.map((each) => suspectItem(each, examples))));
  if (hygiene.duplicates?.found) section("duplicates", "Duplicates", of("duplicates", "group") + `Joined by a cosine of ${neighbours.duplicates.threshold} or more, over any number of steps. Those of several classes first, then the largest.`, items(content.groups.map((each) => groupItem(each, examples)), 9));
  if (holdout) section("holdout", "Holdout", `${count(holdout.near_duplicates)} of ${count(holdout.rows)} test rows have an example at a cosine of ${holdout.threshold} or more${holdout.tells_copies ? ": a score on them says little" : ", which says nothing of copies here: see the warning above"}. The nearest first.`, items(content.tested.map((each) => testedItem(each, examples)), 8));
}

function listSections(content, examples) {
  if (content.extremes.length && content.extremes.some((each) => each.easy.length || each.hard.length)) section("extremes", "Easy and hard", "The ten that come first in each class.", extremes(content, examples));
  const { counts } = content;
  if (counts.rejected || counts.excluded || counts.truncated || counts.conflicting_labels) {
    const rows = Object.entries(counts.reasons).filter(([, number]) => number).map(([reason, number]) => [`rejected: ${reason}`, count(number)]);
    if (counts.excluded) rows.push(["left out by --where", count(counts.excluded)]);
    if (counts.truncated) rows.push([`texts cut at ${count(content.encoder.max_seq_length)} tokens`, count(counts.truncated)]);
    if (counts.conflicting_labels) rows.push(["equal contents with another label", count(counts.conflicting_labels)]);
    section("input", "Input", `${count(counts.source_rows)} rows were read, ${count(counts.accepted)} are examples.`, table(["what", "rows"], rows, [1]),
      content.rejects.length ? el("details", {}, el("summary", {}, `the first ${content.rejects.length} rejects`), table(["file", "row", "reason", "detail"], content.rejects.map((each) => [each.source_file, count(each.source_row), each.reason, each.detail]), [1])) : null);
  }
  section("options", "Options", "The command that makes such a manifest; where source and manifest lie is not recorded.", el("pre", {}, content.command),
    el("details", {}, el("summary", {}, `all ${content.options.length} options`), table(["option", "value"], content.options.map(([name, value]) => [name, value === null ? "–" : Array.isArray(value) ? value.join(", ") || "–" : String(value)]))));
}

async function start() {
  const theme = (name) => { document.documentElement.dataset.theme = name; };
  theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const content = JSON.parse(await unpacked("content")), { points } = content;
  document.getElementById("waiting").remove();
  document.title = `${content.name} – syllabus report`;
  document.getElementById("name").textContent = flat(content.name);
  const labels = new Labels(content), examples = new Examples(points, labels);
  overview(content);
  if (content.maps.length) mapSection(content, points, labels, examples);
  subsetSections(content, labels);
  hygieneSections(content, examples);
  listSections(content, examples);
  if (!content.maps.length) document.querySelector("#overview").append(el("p", { className: "quiet" }, "This manifest has no preview: a newer `syllabus prepare`, without --no-preview, adds the map and the contents of examples."));
  document.getElementById("main").append(el("footer", {}, `${flat(content.encoder.name)}, ${count(content.encoder.dimension)} dimensions · syllabus ${content.version} · data set ${content.fingerprint}`));
  document.getElementById("theme").addEventListener("click", () => {
    theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    if (window.syllabusMap) window.syllabusMap.draw();
    redraw();
  });
  document.documentElement.dataset.ready = performance.now().toFixed(0);
}

start().catch((error) => {
  const reason = "DecompressionStream" in window ? error : "this browser is too old: any of 2023 or later will do";
  document.getElementById("main").prepend(el("p", { className: "problem" }, `The report cannot be shown: ${reason}`));
  throw error;
});
