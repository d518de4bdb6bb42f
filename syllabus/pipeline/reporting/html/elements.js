// Elements, numbers and colours. Values of the data become text of elements, never HTML.
const RANKS = 10000;

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

const count = (value) => value.toLocaleString("en-US");
const share = (value) => (value >= 0.995 || value === 0 ? `${Math.round(value * 100)}%` : `${Number((value * 100).toPrecision(2))}%`);
const figure = (value, digits = 3) => (value === null || value === undefined ? "–" : Number(value).toFixed(digits));
const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
const shorten = (text, most) => ([...text].length > most ? `${[...text].slice(0, most - 1).join("")}…` : text);
const flat = (text) => String(text).replace(/\s+/g, " ").trim() || "(blank)";
// Plotly reads a few tags in its labels: a value of the data has none.
const plain = (text, most = 26) => shorten(flat(text), most).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

async function unpacked(id) {
  const text = atob(document.getElementById(id).textContent), bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

// Okabe and Ito's colours, told apart by everybody, in shades that hold on white and on black.
const FEW = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8b6fc6", "#9a8c29"];
const OTHERS = [138, 146, 158];

function palette(number) {
  if (number <= FEW.length) return FEW.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  // Three lightnesses and hues a golden angle apart: neighbours in the list differ in both.
  return Array.from({ length: number }, (_, place) => oklch([0.53, 0.65, 0.76][place % 3], [0.17, 0.15, 0.14][place % 3], place * 137.508 + 20));
}

function oklch(lightness, chroma, degrees) {
  const a = chroma * Math.cos((degrees * Math.PI) / 180), b = chroma * Math.sin((degrees * Math.PI) / 180);
  const [l, m, s] = [
    lightness + 0.3963377774 * a + 0.2158037573 * b,
    lightness - 0.1055613458 * a - 0.0638541728 * b,
    lightness - 0.0894841775 * a - 1.291485548 * b,
  ].map((value) => value ** 3);
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((value) => Math.round(255 * Math.min(1, Math.max(0, value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055))));
}

const rgb = (colour) => `rgb(${colour.join(" ")})`;
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// What the whole page knows of partitions: their names, and colours for the largest.
class Labels {
  constructor(content) {
    this.parts = new Map(content.partitions.map((part) => [part.partition, part]));
    this.clusters = content.clusters;
    const apart = content.preview?.grid.partitions ?? content.partitions.slice(0, 32).map((part) => part.partition);
    this.apart = [...apart].sort((a, b) => this.size(b) - this.size(a) || a - b);
    const colours = palette(this.apart.length);
    this.colours = new Map(this.apart.map((number, place) => [number, colours[place]]));
  }
  size(number) { return this.parts.get(number)?.examples ?? 0; }
  colour(number) { return this.colours.get(number) ?? OTHERS; }
  name(number) {
    if (number === -1) return "others";
    const label = this.parts.get(number)?.label;
    return label === null || label === undefined ? (this.clusters ? `cluster ${number}` : "no label") : flat(label);
  }
}

function tag(text, colour = null) {
  return el("span", { className: "tag", title: text }, colour && swatch(colour), text);
}

function swatch(colour) {
  const made = el("span", { className: "swatch" });
  made.style.background = rgb(colour);
  return made;
}

function section(id, title, lead, ...children) {
  document.getElementById("contents").append(el("a", { href: `#${id}` }, title.split(":")[0]));
  const made = el("section", { id }, el("h2", {}, title), lead ? el("p", { className: "lead" }, lead) : null, ...children);
  document.getElementById("main").append(made);
  return made;
}

function table(heads, rows, numeric = []) {
  const cell = (kind) => (value, place) => el(kind, { className: numeric.includes(place) ? "n" : "" }, value ?? "–");
  return el("div", { className: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, heads.map(cell("th")))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map(cell("td")))))));
}
