
"use strict";
// Reads values off the curves: under the pointer, or by arrow keys in a chart that has the focus. All charts
// of the same training follow.
const carried = JSON.parse(document.querySelector("#curves-data").textContent);
const figures = [...document.querySelectorAll("[data-chart]")];
const form = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
const whole = new Intl.NumberFormat("en");

function nearest(steps, step) {
  let low = 0, high = steps.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] < step) low = middle + 1; else high = middle;
  }
  return low > 0 && step - steps[low - 1] <= steps[low] - step ? low - 1 : low;
}

function place(chart, step) {
  return chart.left + chart.width * (step - chart.first) / (chart.last - chart.first);
}

function show(step, training) {
  for (const figure of figures) {
    const chart = carried[figure.dataset.chart];
    if (chart.training !== training) continue;
    const dots = figure.querySelectorAll(".dot");
    const said = [];
    let at = null;
    chart.steps.forEach((steps, line) => {
      if (!steps.length) return;
      const point = nearest(steps, step), x = place(chart, steps[point]);
      at = at ?? steps[point];
      dots[line].setAttribute("transform", `translate(${x} ${chart.y[line][point]})`);
      const where = steps[point] === at ? "" : ` (step ${whole.format(steps[point])})`;
      said.push(`${chart.labels[line]} ${form.format(chart.values[line][point])}${where}`);
    });
    if (at === null) continue;
    figure.querySelector(".cross").setAttribute("transform", `translate(${place(chart, at)} 0)`);
    figure.querySelector("output").textContent = `step ${whole.format(at)}: ${said.join(", ")}`;
    figure.dataset.step = at;
    figure.classList.add("read");
  }
}

function hide() {
  for (const figure of figures) {
    figure.classList.remove("read");
    figure.querySelector("output").textContent = "";
  }
}

for (const figure of figures) {
  const chart = carried[figure.dataset.chart], svg = figure.querySelector("svg");
  const steps = chart.steps.find((one) => one.length) ?? [];
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    show(chart.first + (x - chart.left) / chart.width * (chart.last - chart.first), chart.training);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const now = figure.classList.contains("read") ? nearest(steps, Number(figure.dataset.step)) : null;
    const moves = {
      ArrowRight: now === null ? 0 : now + 1, ArrowLeft: now === null ? steps.length - 1 : now - 1,
      Home: 0, End: steps.length - 1,
    };
    if (event.key === "Escape") hide();
    if (!(event.key in moves) || !steps.length) return;
    event.preventDefault();
    show(steps[Math.min(Math.max(moves[event.key], 0), steps.length - 1)], chart.training);
  });
}
