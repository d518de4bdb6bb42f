// Lists of examples with their contents.
class Examples {
  constructor(points, labels) {
    Object.assign(this, { points, labels });
    this.places = new Map(points.index.map((index, place) => [index, place]));
  }
  label(at) {
    const { label, labels } = this.points;
    return label[at] < 0 ? this.labels.name(this.points.partition[at]) : flat(labels[label[at]]);
  }
  tag(at) { return tag(this.label(at), this.labels.colour(this.points.partition[at])); }
  where(at) { return `${this.points.files[this.points.file[at]]} row ${count(this.points.row[at])}`; }
  content(at) {
    const [text, image] = this.points.contents[at] ?? [null, null];
    return shown(text, image);
  }
  head(at, ...more) {
    return el("div", { className: "head", title: this.where(at) }, el("span", { className: "id" }, flat(this.points.id[at])), this.tag(at), more);
  }
  // An example by its index, with its label and content.
  entry(index, ...more) {
    const at = this.places.get(index);
    if (at === undefined) return el("div", {}, `index ${index}`);
    const content = this.content(at);
    return el("div", { className: content?.className === "thumb" ? "pictured" : "" }, this.head(at, ...more), content);
  }
}

function shown(text, image) {
  if (image) return el("img", { className: "thumb", alt: "", src: `data:image/webp;base64,${image}` });
  return text === null || text === undefined ? null : el("div", { className: "text" }, text);
}

const quiet = (text) => el("span", { className: "quiet" }, text);

function suspectItem(each, examples) {
  const tally = new Map();
  for (const index of each.neighbours) {
    const at = examples.places.get(index), name = examples.label(at);
    tally.set(name, [(tally.get(name)?.[0] ?? 0) + 1, at]);
  }
  const tags = [...tally].sort((a, b) => b[1][0] - a[1][0]).map(([name, [times, at]]) => tag(`${name} × ${times}`, examples.labels.colour(examples.points.partition[at])));
  return el("div", { className: "item" }, examples.entry(each.index),
    el("div", { className: "inner" }, quiet(`neighbours, mean cosine ${figure(each.cosine, 2)}`), el("div", { className: "small" }, tags),
      el("details", {}, el("summary", {}, "show them"), each.neighbours.map((index, place) => el("div", { className: "inner" }, examples.entry(index, quiet(figure(each.cosines[place], 3))))))));
}

function groupItem(each, examples, threshold) {
  const least = each.least === null ? "" : each.all_pairs ? `, least cosine ${figure(each.least)}` : `, least cosine listed ${figure(each.least)}`;
  return el("div", { className: "item" }, quiet(`${count(each.size)} examples${least}`),
    each.members.map((index) => el("div", { className: "inner" }, examples.entry(index))),
    each.size > each.members.length ? quiet(`and ${count(each.size - each.members.length)} more`) : null);
}

function testedItem(each, examples) {
  return el("div", { className: "item" }, quiet(`cosine ${figure(each.cosine)}`), el("div", { className: "pair" },
    el("div", {}, el("div", { className: "head" }, el("span", { className: "id" }, `${flat(each.source_file)} row ${count(each.source_row)}`)), quiet("test data"), shown(each.text, each.image)),
    el("div", {}, examples.entry(each.index))));
}

// The easiest and hardest of a class, which a list chooses.
function extremes(content, examples) {
  const choice = el("select", { ariaLabel: "class" }, content.extremes.map((each, place) => el("option", { value: place }, shorten(examples.labels.name(each.partition), 40))));
  const side = (title, lead, name) => ({ name, list: el("ol", { className: "rank" }), title, lead });
  const sides = [side("Easiest", "first picks of the first subset", "easy"), side("Hardest", `first of the importance ${content.hard ?? ""}`, "hard")].filter(({ name }) => content.extremes.some((each) => each[name].length));
  const fill = () => sides.forEach(({ name, list }) => list.replaceChildren(...content.extremes[choice.value][name].map((index, place) => el("li", {}, el("span", { className: "no" }, place + 1), examples.entry(index)))));
  choice.addEventListener("change", fill);
  fill();
  return [el("label", {}, "class ", choice), el("div", { className: "columns" }, sides.map(({ title, lead, list }) => el("div", {}, el("h3", {}, title), quiet(lead), list)))];
}

// A grid of items, the first few at once.
function items(made, first = 12) {
  const grid = el("div", { className: "items" }, made.slice(0, first));
  if (made.length <= first) return [grid];
  const more = el("button", { type: "button" }, `show ${made.length - first} more`);
  more.addEventListener("click", () => { grid.append(...made.slice(first)); more.remove(); });
  return [grid, el("p", {}, more)];
}
