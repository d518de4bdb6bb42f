// The map: a picture of all examples, live points over it, and what of them is chosen or found.
// Drawn on a canvas: twenty thousand points are too many for SVG, and WebGL is not everywhere.
const LAYERS = [
  ["points", "●", "points", "all points of the preview"],
  ["easy", "◆", "easy picks", "the first subset, by rank"],
  ["hard", "▲", "hard picks", "the first of the importance, by rank"],
  ["suspects", "✕", "suspects", "no neighbour has their label"],
  ["copies", "◻", "near-duplicates", "of a group of two or more"],
];

const MARGIN = 14, MOST_SHOWN = 400;

class Plane {
  constructor(content, points, labels, canvas) {
    Object.assign(this, { content, points, labels, canvas });
    this.context = canvas.getContext("2d");
    this.map = content.maps[0];
    this.shown = new Set([...labels.apart, -1]);
    // Many suspects would hide what is under them.
    const suspects = points.mapped.filter((at) => points.suspect[at]).length;
    this.layers = new Set(["points", "easy", ...(suspects <= MOST_SHOWN ? ["suspects"] : [])]);
    this.budget = content.subsets[0]?.fraction ?? 0.1;
    this.view = { scale: 1, x: 0, y: 0 };
    this.slots = points.mapped.map((at) => (labels.colours.has(points.partition[at]) ? points.partition[at] : -1));
    this.picture = document.createElement("canvas");
    this.paintDensity();
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.listen();
  }

  paintDensity() {
    const { side, partitions } = this.map;
    const weights = new Float64Array(side * side), mixed = new Float64Array(side * side * 3);
    for (const { partition, cells, counts } of partitions) {
      if (!this.shown.has(partition)) continue;
      const colour = this.labels.colour(partition), held = new Float64Array(side * side);
      let cell = 0;
      cells.forEach((step, place) => { cell += step; held[cell] = counts[place]; });
      blurred(held, side).forEach((value, place) => {
        if (!value) return;
        weights[place] += value;
        for (let k = 0; k < 3; k++) mixed[place * 3 + k] += value * colour[k];
      });
    }
    const most = [...weights].filter((value) => value > 0).sort((a, b) => a - b);
    const full = Math.log1p(most[Math.floor(most.length * 0.99)] || 1);
    const image = new ImageData(side, side);
    for (let place = 0; place < side * side; place++) {
      const weight = weights[place];
      if (!weight) continue;
      const to = ((side - 1 - Math.floor(place / side)) * side + (place % side)) * 4;
      for (let k = 0; k < 3; k++) image.data[to + k] = mixed[place * 3 + k] / weight;
      image.data[to + 3] = 150 * Math.min(1, Math.log1p(weight) / full);
    }
    this.picture.width = this.picture.height = side;
    this.picture.getContext("2d").putImageData(image, 0, 0);
  }

  // Another map of the same points, seen whole.
  show(map) {
    this.map = map;
    this.paintDensity();
    this.whole();
  }

  whole() {
    this.view = { scale: 1, x: 0, y: 0 };
    this.draw();
  }

  // Where a live point is on the canvas, in CSS pixels; y grows upwards on the map.
  place(number) {
    const { scale, x, y } = this.view;
    const [width, height] = [this.canvas.clientWidth - 2 * MARGIN, this.canvas.clientHeight - 2 * MARGIN];
    return [MARGIN + (this.map.x[number] / 65535 - x) * scale * width, MARGIN + (1 - this.map.y[number] / 65535 - y) * scale * height];
  }

  visible(number) { return this.shown.has(this.slots[number]); }
  isEasy(at) { return this.points.easy[at] >= 0 && this.points.easy[at] <= this.budget * RANKS; }
  isHard(at) { return this.points.hard[at] >= 0 && this.points.hard[at] <= this.budget * RANKS; }

  draw() {
    const { canvas, context, points, view } = this, ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const [w, h] = [(width - 2 * MARGIN) * view.scale, (height - 2 * MARGIN) * view.scale];
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, MARGIN - view.x * w, MARGIN - view.y * h, w, h);
    const found = { points: new Map(), easy: [], hard: [], suspects: [], copies: [] };
    this.counts = { easy: 0, hard: 0, points: 0 };
    for (let number = 0; number < points.mapped.length; number++) {
      if (!this.visible(number)) continue;
      const at = points.mapped[number], [x, y] = this.place(number);
      const [easy, hard] = [this.isEasy(at), this.isHard(at)];
      this.counts.points++;
      this.counts.easy += easy;
      this.counts.hard += hard;
      if (x < -8 || y < -8 || x > width + 8 || y > height + 8) continue;
      if (!found.points.has(this.slots[number])) found.points.set(this.slots[number], []);
      found.points.get(this.slots[number]).push(x, y);
      if (easy) found.easy.push(x, y);
      if (hard) found.hard.push(x, y);
      if (points.suspect[at]) found.suspects.push(x, y);
      if (points.copies[at] > 1) found.copies.push(x, y);
    }
    if (this.layers.has("points")) {
      const size = Math.min(5, 2.1 * Math.sqrt(view.scale) * (points.mapped.length < 3000 ? 1.6 : 1));
      context.globalAlpha = 0.8;
      for (const [slot, places] of found.points) {
        context.fillStyle = rgb(this.labels.colour(slot));
        for (let k = 0; k < places.length; k += 2) context.fillRect(places[k] - size / 2, places[k + 1] - size / 2, size, size);
      }
      context.globalAlpha = 1;
    }
    for (const [layer] of LAYERS.slice(1)) if (this.layers.has(layer)) this.marks(layer, found[layer]);
    if (this.onDraw) this.onDraw();
  }

  marks(layer, places) {
    const context = this.context, size = layer === "copies" ? 3.6 : 3.4;
    context.beginPath();
    for (let k = 0; k < places.length; k += 2) {
      const [x, y] = [places[k], places[k + 1]];
      if (layer === "easy") polygon(context, [[x, y - size], [x + size, y], [x, y + size], [x - size, y]]);
      else if (layer === "hard") polygon(context, [[x, y - size], [x + size, y + size * 0.8], [x - size, y + size * 0.8]]);
      else if (layer === "copies") context.rect(x - size, y - size, 2 * size, 2 * size);
      else {
        context.moveTo(x - size, y - size); context.lineTo(x + size, y + size);
        context.moveTo(x + size, y - size); context.lineTo(x - size, y + size);
      }
    }
    context.fillStyle = style(`--${layer === "suspects" ? "suspect" : layer}`);
    context.strokeStyle = layer === "easy" || layer === "hard" ? style("--panel") : context.fillStyle;
    context.lineWidth = 1.6;
    context.stroke();
    // Over the outlines: where picks lie close together, those would hide them all.
    if (layer === "easy" || layer === "hard") context.fill();
  }

  nearest(x, y) {
    let best = -1, distance = 14 ** 2;
    for (let number = 0; number < this.points.mapped.length; number++) {
      if (!this.visible(number)) continue;
      const [px, py] = this.place(number), apart = (px - x) ** 2 + (py - y) ** 2;
      if (apart < distance) [best, distance] = [number, apart];
    }
    return best;
  }

  zoom(factor, x = 0.5, y = 0.5) {
    const view = this.view, scale = Math.min(60, Math.max(1, view.scale * factor));
    view.x += x / view.scale - x / scale;
    view.y += y / view.scale - y / scale;
    view.scale = scale;
    this.clamp();
  }

  clamp() {
    const room = 1 - 1 / this.view.scale;
    this.view.x = Math.min(room, Math.max(0, this.view.x));
    this.view.y = Math.min(room, Math.max(0, this.view.y));
    this.draw();
  }

  listen() {
    const canvas = this.canvas, at = (event) => [(event.offsetX - MARGIN) / (canvas.clientWidth - 2 * MARGIN), (event.offsetY - MARGIN) / (canvas.clientHeight - 2 * MARGIN)];
    let held = null;
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(Math.exp(-event.deltaY / 400), ...at(event)); }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => { held = at(event); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointerup", (event) => { held = null; this.hover(event); });
    canvas.addEventListener("pointerleave", () => { held = null; this.onHover(null); });
    canvas.addEventListener("dblclick", () => this.whole());
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return this.hover(event);
      const now = at(event);
      this.view.x -= (now[0] - held[0]) / this.view.scale;
      this.view.y -= (now[1] - held[1]) / this.view.scale;
      held = now;
      this.onHover(null);
      return this.clamp();
    });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
      if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 1.5 : 1 / 1.5);
      else if (step) { this.view.x += step[0] / this.view.scale; this.view.y += step[1] / this.view.scale; this.clamp(); }
      else return;
      event.preventDefault();
    });
  }

  hover(event) {
    const number = this.nearest(event.offsetX, event.offsetY);
    this.onHover(number < 0 ? null : this.points.mapped[number], event.pageX, event.pageY);
  }
}

function polygon(context, corners) {
  corners.forEach(([x, y], place) => (place ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
}

// Twice the mean of a cell and its neighbours, weighted 1 2 1 in each direction.
function blurred(values, side) {
  for (let pass = 0; pass < 4; pass++) {
    const step = pass % 2 ? side : 1, next = new Float64Array(values.length);
    for (let place = 0; place < values.length; place++) {
      const line = step === 1 ? place % side : Math.floor(place / side);
      const before = line > 0 ? values[place - step] : 0, after = line < side - 1 ? values[place + step] : 0;
      next[place] = (before + 2 * values[place] + after) / 4;
    }
    values = next;
  }
  return values;
}
