"use strict";
// Recomputes yearly costs from the draws in #model as measure/yearly.py, break_even.py and report/curves.py do,
// with the same operations in the same order. Nothing here reaches a network.
(() => {
  const model = JSON.parse(document.getElementById("model").textContent);
  const form = document.getElementById("explorer");
  const n = model.draws;

  const unpack = (packed) => {
    if (typeof packed === "number") return new Float64Array(n).fill(packed);
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    return Float64Array.from({ length: n }, (_, i) => view.getFloat32(4 * i, true));
  };
  const PARTS = ["setup_usd", "upkeep_usd_per_year", "change_usd", "capacity_usd_per_year", "item_usd", "review_share",
    "wrong", "deferred", "given_away", "missed"];
  const shared = Object.fromEntries(Object.entries(model.shared).map(([key, packed]) => [key, unpack(packed)]));
  const options = model.options.map((o) => ({ ...o, ...Object.fromEntries(PARTS.map((key) => [key, unpack(o[key])])) }));
  const byName = new Map(options.map((o) => [o.name, o]));

  // Figures

  const half_even = (x) => {
    const floor = Math.floor(x);
    if (x - floor !== 0.5) return Math.round(x);
    return floor % 2 === 0 ? floor : floor + 1;
  };
  const grouped = (x) => String(half_even(x)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  const usd = (x) => {
    const sign = x < 0 ? "-$" : "$", size = Math.abs(x);
    if (size > 0 && size < 1e-6) return "under $0.000001";
    if (size > 0 && size < 0.01) return sign + Number(size.toPrecision(2)).toFixed(6).replace(/0+$/, "");
    return sign + (size < 10 ? size.toFixed(2) : grouped(size));
  };
  const chance = (p) => {
    if (p === 0 || p === 1) return 100 * p + "%";
    return p > 0.995 ? "over 99%" : p < 0.005 ? "under 1%" : half_even(p * 100) + "%";
  };
  const significant = (x) => Number(x.toPrecision(3));
  const short = (x) => {
    for (const [size, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) if (x >= size) return x / size + letter;
    return String(x);
  };
  const cut = (name) => (name.length <= 24 ? name : name.slice(0, 23) + "…");
  const mean = (a) => {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i];
    return sum / a.length;
  };
  const quantile = (sorted, q) => {
    const at = (sorted.length - 1) * q, i = Math.floor(at), t = at - i;
    const a = sorted[i], b = sorted[Math.min(i + 1, sorted.length - 1)];
    return t >= 0.5 ? b - (b - a) * (1 - t) : a + (b - a) * t;
  };
  const nearest = (sorted, q) => sorted[half_even((sorted.length - 1) * q)];

  // The formula

  const capacity = (steps, itemsPerYear) => {
    const at = steps.findIndex(([limit]) => itemsPerYear / 12 <= limit);
    return steps[at < 0 ? steps.length - 1 : at][1];
  };
  const moved = (draws, base, value, per = 1) => {
    if (value === null || value === base) return draws;
    const factor = base > 0 ? value / base : 0;
    return base > 0 ? draws.map((x) => x * factor) : new Float64Array(n).fill(value * per);
  };
  const worldAt = (s) => ({
    volume: moved(shared.items_per_year, model.base.items_per_month, s.items_per_month, 12),
    error: moved(shared.error_usd, model.base.error_usd, s.error_usd),
    review: shared.review_usd,
    changes: moved(shared.changes_per_year, model.base.changes_per_year, s.changes_per_year),
    years: (s.horizon_months || model.base.horizon_months) / 12,
  });
  const partsOf = (o, world, share) => {
    const fixed = new Float64Array(n), unit = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      const reviewed = share === null || o.family === "nothing" ? o.review_share[i] : share;
      const people = o.deferred[i] + (1 - o.deferred[i]) * reviewed;
      const error = o.wrong[i] * (1 - reviewed * model.reviewer_accuracy) + o.given_away[i] * o.missed[i];
      fixed[i] = o.setup_usd[i] / world.years + o.upkeep_usd_per_year[i] + world.changes[i] * o.change_usd[i]
        + o.capacity_usd_per_year[i];
      unit[i] = o.item_usd[i] + people * world.review[i] + error * world.error[i];
    }
    return { fixed, unit, steps: o.steps };
  };
  const errorsOf = (o, world, share) => {
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const reviewed = share === null || o.family === "nothing" ? o.review_share[i] : share;
      sum += world.volume[i] * (o.wrong[i] * (1 - reviewed * model.reviewer_accuracy)) * world.error[i];
    }
    return sum / n;
  };
  // Of options whose accuracies lie within noise, the one that costs least at equal accuracy (deciding/held.py).
  const fairLead = (lead, rows) => {
    const equal = [lead, ...model.allowed.filter((name) => model.noise.some(([a, b]) => a === lead && b === name))];
    const rest = (name) => rows.get(name).expected - rows.get(name).errors;
    return equal.reduce((a, b) => (rest(b) < rest(a) ? b : a));
  };
  const standing = (parts, itemsPerYear) => (parts.steps.length ? capacity(parts.steps, itemsPerYear) : 0);
  const totalAt = (parts, i, itemsPerYear) => parts.fixed[i] + standing(parts, itemsPerYear) + itemsPerYear * parts.unit[i];
  const breakEven = (first, second) => {
    const limits = [...new Set([0, ...first.steps.map((s) => s[0]), ...second.steps.map((s) => s[0])])].sort((a, b) => a - b);
    const real = new Float64Array(n);
    limits.forEach((low, piece) => {
      const high = limits[piece + 1] ?? Infinity, inside = (12 * (low + Math.min(high, 2 * low + 1))) / 2;
      for (let i = 0; i < n; i++) {
        const gain = second.unit[i] - first.unit[i];
        const extra = first.fixed[i] - second.fixed[i] + standing(first, inside) - standing(second, inside);
        const above = high < Infinity ? extra - gain * 12 * high : gain < 0 ? Infinity : extra;
        const worse = gain > 0 ? Math.min(extra / gain / 12, high) : above > 0 ? high : 0;
        if (worse > low) real[i] = worse;
      }
    });
    real.sort();
    const [low, middle, high] = [0.05, 0.5, 0.95].map((q) => nearest(real, q));
    if (middle === Infinity) return "at no volume";
    if (half_even(middle) === 0) return "at any volume";
    const end = high === Infinity ? "no upper bound" : grouped(high);
    const items = half_even(middle) === 1 ? "item" : "items";
    return `from ${grouped(middle)} ${items} a month (90%: ${grouped(low)} to ${end})`;
  };
  const compute = (s) => {
    const world = worldAt(s), rows = new Map(), totals = new Map();
    for (const o of options) {
      const parts = partsOf(o, world, s.review_share), errors = errorsOf(o, world, s.review_share);
      const total = world.volume.map((volume, i) => totalAt(parts, i, volume));
      const sorted = total.slice().sort();
      totals.set(o.name, total);
      rows.set(o.name, { parts, errors, expected: mean(total), p5: quantile(sorted, 0.05), p95: quantile(sorted, 0.95), wins: 0 });
    }
    for (let i = 0; i < n; i++) {
      let best = null;
      for (const name of model.allowed) if (best === null || totals.get(name)[i] < totals.get(best)[i]) best = name;
      if (best !== null) rows.get(best).wins += 1;
    }
    const ranked = [...model.allowed].sort((a, b) => rows.get(a).expected - rows.get(b).expected);
    const cheapest = ranked[0] ?? null, lead = model.leading;
    const tied = model.allowed.includes(lead) && rows.get(lead).expected <= rows.get(cheapest).expected * (1 + model.tie);
    return { rows, ranked, cheapest, best: cheapest === null ? null : fairLead(tied ? lead : cheapest, rows) };
  };

  // Lines, and which is the cheapest where

  const lineOf = (parts) => {
    const fixed = mean(parts.fixed), unit = mean(parts.unit);
    return (x) => fixed + standing(parts, 12 * x) + 12 * x * unit;
  };
  const cheapest = (lines, grid) => {
    if (!model.allowed.length) return [];
    const winner = (x) => model.allowed.reduce((a, b) => (lines.get(b)(x) < lines.get(a)(x) ? b : a));
    const pieces = [{ name: winner(grid[0]), low: grid[0], high: grid[grid.length - 1] }];
    for (let i = 1; i < grid.length; i++) {
      const name = winner(grid[i]), last = pieces[pieces.length - 1];
      if (name === last.name) continue;
      let low = grid[i - 1], high = grid[i];
      while (high / low > 1.0001) {
        const middle = Math.sqrt(low * high);
        if (lines.get(last.name)(middle) <= lines.get(name)(middle)) low = middle;
        else high = middle;
      }
      last.high = high;
      pieces.push({ name, low: high, high: grid[grid.length - 1] });
    }
    return pieces;
  };
  const gridOf = (points) => Array.from({ length: points }, (_, i) => {
    const [low, high] = model.volumes;
    return low * (high / low) ** (i / (points - 1));
  });
  const bandOf = (parts, grid) => grid.map((x) => {
    const sorted = parts.fixed.map((_, i) => totalAt(parts, i, 12 * x)).sort();
    return [x, quantile(sorted, 0.05), quantile(sorted, 0.95)];
  });

  // The chart, as report/plots.py draws it

  const element = (name, attributes, words) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) if (value !== "" && value !== null) made.setAttribute(key, value);
    if (words !== undefined) made.textContent = words;
    return made;
  };
  const scale = (low, high, start, end) => (value) =>
    start + (Math.log(Math.min(Math.max(value, low), high) / low) / Math.log(high / low)) * (end - start);
  const ticks = (low, high, most) => {
    const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
    const step = Math.max(1, Math.ceil((last - first + 1) / most)), found = [];
    for (let power = first; power <= last; power += step) found.push(10 ** power);
    return found;
  };
  const draw = (svg, curves, pieces, now) => {
    const width = svg.viewBox.baseVal.width, height = svg.viewBox.baseVal.height, phone = width < 500;
    const top = 14, left = phone ? 44 : 56, right = phone ? width - 8 : width - model.margin, bottom = height - 64;
    const ys = curves.flatMap((c) => c.points.map(([, y]) => y));
    const floor = 0.8 * Math.max(Math.min(...ys), 1), ceiling = 1.25 * Math.max(...ys, 10);
    const across = scale(model.volumes[0], model.volumes[1], left, right), up = scale(floor, ceiling, bottom, top);
    const parts = [svg.querySelector("title")];
    const line = (x1, y1, x2, y2, kind) => parts.push(element("line", { x1, y1, x2, y2, class: kind }));
    const text = (x, y, words, kind, anchor = "") => parts.push(element("text", { x, y, class: kind, "text-anchor": anchor }, words));
    const path = (points, kind, dash = "", end = "") => parts.push(element("path", {
      d: points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join(" ") + end, class: kind, "stroke-dasharray": dash }));
    for (const x of ticks(...model.volumes, phone ? 5 : 8)) {
      line(across(x), top, across(x), bottom, "grid");
      text(across(x), bottom + 40, short(x), "tick", "middle");
    }
    for (const y of ticks(floor, ceiling, 6)) {
      line(left, up(y), right, up(y), "grid");
      text(left - 6, up(y) + 4, "$" + short(y), "tick", "end");
    }
    text((left + right) / 2, height - 6, "items a month", "note", "middle");
    for (const c of curves) if (c.band) {
      const low = c.band.map(([x, y]) => [across(x), up(y)]), high = c.band.map(([x, , y]) => [across(x), up(y)]);
      path([...low, ...high.reverse()], `band b-${c.family}`, "", " Z");
    }
    for (const c of curves) path(c.points.map(([x, y]) => [across(x), up(y)]), `curve s-${c.family}`, c.dash);
    line(across(now), top, across(now), bottom + 22, "now");
    for (const p of pieces) {
      const x = across(p.low), end = across(p.high), family = byName.get(p.name).family;
      parts.push(element("rect", { x, y: bottom + 8, width: Math.max(end - x - 1.5, 1), height: 14, class: `strip f-${family}` }));
      if (end - x > 7 * p.name.length + 6) text((x + end) / 2, bottom + 19, p.name, "on-strip", "middle");
    }
    for (const p of pieces.slice(1)) {
      const x = across(p.low), y = up(curves.find((c) => c.name === p.name).line(p.low)), flip = x > (left + right) / 2;
      parts.push(element("circle", { cx: x, cy: y, r: 5, class: "ring" }));
      text(x + (flip ? -9 : 9), y + 18, grouped(significant(p.low)), "crossing", flip ? "end" : "");
    }
    if (!phone) {
      const ends = curves.map((c) => ({ c, y: up(c.points[c.points.length - 1][1]) + 4 })).sort((a, b) => b.y - a.y);
      let limit = bottom;
      for (const end of ends) { end.y = Math.min(end.y, limit); limit = end.y - 14; }
      const lift = Math.max(0, top + 4 - ends[ends.length - 1].y);
      for (const { c, y } of ends) text(right + 8, y + lift, cut(c.name), `name t-${c.family}`);
    }
    svg.replaceChildren(...parts);
  };

  // The page

  const controls = [...form.querySelectorAll(".control")].map((box) => ({
    key: box.dataset.key,
    log: box.dataset.scale === "log",
    base: Number(box.dataset.base),
    number: box.querySelector("input[type=number]"),
    range: box.querySelector("input[type=range]"),
    unit: box.querySelector(".unit").textContent,
  }));
  const valueOf = (c) => {
    const typed = c.number.value === "" ? null : Number(c.number.value);
    if (typed === null || !Number.isFinite(typed) || typed < Number(c.number.min)) return null;
    return c.key === "review_share" ? Math.min(typed, 100) / 100 : typed;
  };
  const setting = () => Object.fromEntries(controls.map((c) => [c.key, valueOf(c)]));
  const say = (found) => {
    const given = document.getElementById("moved").dataset.best;
    if (found.best === null) return "No option passes the limits that were set.";
    const row = found.rows.get(found.best), p = row.wins / n;
    const changed = found.best === given ? "" : ` The choice moves from ${given} to ${found.best}.`;
    const close = p < 0.9 ? " A close call." : "";
    const tied = row.expected <= found.rows.get(found.cheapest).expected * (1 + model.tie);
    const how = found.best === found.cheapest ? "is the cheapest on average"
      : tied ? `costs as much as the cheapest (${found.cheapest}), to half a percent`
        : `is the cheapest at equal accuracy (${found.cheapest} leads within noise)`;
    return `At these assumptions ${found.best} ${how}, with ${usd(row.expected)} a year, ` +
      `and ${found.best === found.cheapest ? "in" : "is the cheapest in"} ${chance(p)} of the simulated years.${changed}${close}`;
  };
  // The one whose items cost less comes first: that is the one which wins from some volume on.
  const pair = (found, other) => {
    const mine = found.rows.get(found.best).parts, theirs = found.rows.get(other).parts;
    if (mean(mine.unit) <= mean(theirs.unit)) return `${found.best} ${breakEven(mine, theirs)}`;
    return `${other} ${breakEven(theirs, mine)}`;
  };
  const show = () => {
    const s = setting(), found = compute(s);
    document.getElementById("moved").textContent = say(found);
    document.getElementById("pairs-of").textContent = found.best ?? "–";
    for (const tr of document.querySelectorAll("#costs tbody tr")) {
      const name = tr.dataset.name, row = found.rows.get(name), allowed = model.allowed.includes(name);
      const cell = (which, words) => { tr.querySelector(`[data-cell=${which}]`).textContent = words; };
      cell("expected", usd(row.expected));
      cell("p5", usd(row.p5));
      cell("p95", usd(row.p95));
      cell("p_best", allowed ? chance(row.wins / n) : "–");
      cell("pair", allowed && name !== found.best ? pair(found, name) : "–");
      tr.classList.toggle("chosen", name === found.best);
    }
    const grid = gridOf(model.points[0]), lines = new Map(options.map((o) => [o.name, lineOf(found.rows.get(o.name).parts)]));
    const curves = options.map((o) => {
      const line = lines.get(o.name);
      const band = found.ranked.slice(0, 2).includes(o.name) ? bandOf(found.rows.get(o.name).parts, grid) : null;
      return { name: o.name, family: o.family, dash: o.dash, line, band, points: grid.map((x) => [x, line(x)]) };
    });
    const pieces = cheapest(lines, gridOf(model.points[1]));
    const now = s.items_per_month ?? model.base.items_per_month;
    for (const svg of document.querySelectorAll("#cost-chart svg")) draw(svg, curves, pieces, now);
  };
  let waiting = 0;
  const later = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(show);
  };
  const spoken = (c) => c.range.setAttribute("aria-valuetext", c.number.value === "" ? "as given" : `${c.number.value} ${c.unit}`);
  for (const c of controls) {
    c.range.addEventListener("input", () => {
      const at = Number(c.range.value);
      c.number.value = c.log ? (at === 0 ? c.base : significant(c.base * 10 ** at)) : at;
      spoken(c);
      later();
    });
    c.number.addEventListener("input", () => {
      const value = Number(c.number.value);
      c.range.value = c.log ? Math.log10(Math.max(value, 1e-12) / c.base) : value;
      spoken(c);
      later();
    });
    spoken(c);
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { controls.forEach(spoken); show(); }));
  form.hidden = false;
})();
for (const [event, open] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => document.querySelectorAll("details").forEach((box) => { box.open = open; }));
}
