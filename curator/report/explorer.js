// The threshold explorer: sliders, and what would be kept. All numbers are sums that the page carries.
const carried = document.querySelector("#explorer-data");
if (carried) explore(JSON.parse(carried.textContent));

function explore(data) {
  const number = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const { rules, sample } = data;
  const now = rules.map((rule) => rule.at);
  const bytes = (said) => Uint8Array.from(atob(said), (c) => c.charCodeAt(0));
  const at = sample.at.map(bytes);
  const groups = sample.groups.map(bytes);
  const unknown = bytes(sample.unknown);
  const sizes = new Uint32Array(bytes(sample.sizes).buffer);
  const rejects = (rule, limit, position) =>
    position !== 255 && (rule.below ? position <= limit : position > limit);
  const failsNow = new Uint16Array(sample.rows); // rules that reject a document in the run as it is
  rules.forEach((rule, r) => {
    for (let d = 0; d < sample.rows; d++) failsNow[d] += rejects(rule, rule.at, at[r][d]);
  });

  // Exact: one limit moved, all others as in the run. Columns are documents and size.
  function alone(r, limit) {
    const rule = rules[r];
    const last = rule.unknown[0].length - 1; // not measured
    const passes = (position) => !rejects(rule, limit, position === last ? 255 : position);
    const sum = (counts) => counts.reduce((total, count, position) => total + (passes(position) ? count : 0), 0);
    const tables = rule.stays.map(([documents, amounts]) => documents.map((d, i) => [sum(d), sum(amounts[i])]));
    const kept = [0, 1].map((column) => tables[0].reduce((total, row) => total + row[column], 0));
    return { kept, tables, unknown: rule.unknown.map(sum), error: [0, 0], exact: true };
  }

  // Several moved: the run's own numbers, and the difference that the sample shows.
  function together(moved) {
    const rows = sample.rows;
    const scale = rows ? sample.of / rows : 0;
    const sums = [0, 0], squares = [0, 0], open = [0, 0];
    const tables = data.tables.map((table) => table.kept.map((row) => [...row]));
    for (let d = 0; d < rows; d++) {
      let fails = failsNow[d];
      for (const r of moved) {
        fails += rejects(rules[r], now[r], at[r][d]) - rejects(rules[r], rules[r].at, at[r][d]);
      }
      if (fails === 0 && unknown[d]) {
        open[0] += scale;
        open[1] += scale * sizes[d];
      }
      if (unknown[d]) continue;
      const change = (fails === 0) - (failsNow[d] === 0);
      if (change === 0) continue;
      [change, change * sizes[d]].forEach((value, column) => {
        sums[column] += value;
        squares[column] += value * value;
        tables.forEach((table, t) => { if (table.length) table[groups[t][d]][column] += scale * value; });
      });
    }
    const exact = rows === sample.of;
    const error = squares.map((square, column) => {
      const variance = rows > 1 ? (square - sums[column] ** 2 / rows) / (rows - 1) : 0;
      return exact ? 0 : sample.of * Math.sqrt(Math.max(variance, 0) / rows * (1 - rows / sample.of));
    });
    return { kept: data.kept.map((k, column) => k + scale * sums[column]), tables, unknown: open, error, exact };
  }

  const find = (id) => document.getElementById(id);
  const change = (value) => (Math.round(value) === 0 ? "" : (value > 0 ? "+" : "−") + number.format(Math.abs(value)));
  const inputs = rules.map((rule) => find(`x-${rule.number}`));

  function amount(result, column) {
    const { kept, unknown: open, error } = result;
    let said = number.format(kept[column]);
    if (open[column] >= 0.5) said = `${said} to ${number.format(kept[column] + open[column])}`;
    const difference = change(kept[column] - data.kept[column]);
    if (difference) said += ` (${difference})`;
    return result.exact ? said : `${said} ± ${number.format(error[column])}`;
  }

  function fill(id, rows) {
    const body = document.querySelector(`#${id} tbody`);
    if (!body) return;
    const before = data.tables.find((table) => table.id === id).kept;
    [...body.rows].forEach((line, i) => {
      [0, 1].forEach((column) => {
        line.cells[1 + 2 * column].textContent = number.format(rows[i][column]);
        line.cells[2 + 2 * column].textContent = change(rows[i][column] - before[i][column]);
      });
    });
  }

  function show() {
    const moved = rules.map((_, r) => r).filter((r) => now[r] !== rules[r].at);
    const nothing = { kept: data.kept, tables: data.tables.map((t) => t.kept), unknown: [0, 0], error: [0, 0], exact: true };
    const result = moved.length === 0 ? nothing : moved.length === 1 ? alone(moved[0], now[moved[0]]) : together(moved);
    find("x-documents").textContent = amount(result, 0);
    find("x-size").textContent = amount(result, 1);
    const kind = moved.length === 0 ? "the run as it is"
      : result.exact ? "exact" : `estimate ± its standard error, from a sample of ${number.format(sample.rows)} documents`;
    const open = result.unknown[0] >= 0.5 ? "; a range where later filters have not measured what passes now" : "";
    find("x-kind").textContent = kind + open;
    find("x-set").textContent = moved.length === 0 ? ""
      : moved.map((r) => `--set ${rules[r].name}=${rules[r].set[now[r]]}`).join(" ");
    find("x-copy").disabled = find("x-reset").disabled = moved.length === 0;
    data.tables.forEach((table, t) => fill(table.id, result.tables[t]));
  }

  function draw(r) {
    const rule = rules[r], limit = now[r], input = inputs[r], place = input.parentElement;
    const said = `at ${rule.below ? "least" : "most"} ${rule.said[limit]}`;
    place.querySelector("output").textContent = said;
    input.setAttribute("aria-valuetext", said);
    const result = alone(r, limit);
    const difference = change(result.kept[0] - data.kept[0]);
    place.querySelector(".effect").textContent = difference
      ? `alone: ${difference} documents${result.unknown[0] ? `, up to ${number.format(result.unknown[0])} more` : ""}`
      : result.unknown[0] ? `alone: up to ${number.format(result.unknown[0])} documents more` : "";
    if (rule.x.length) {
      const line = document.querySelector(`[data-line="${CSS.escape(rule.edge)}"]`);
      const region = document.querySelector(`[data-region="${CSS.escape(rule.edge)}"]`);
      line.setAttribute("transform", `translate(${rule.x[limit]} 0)`);
      const whole = line.ownerSVGElement.viewBox.baseVal.width;
      region.setAttribute("x", rule.below ? 0 : rule.x[limit]);
      region.setAttribute("width", rule.below ? rule.x[limit] : whole - rule.x[limit]);
    }
    if (place.querySelector("details").open) examples(r);
  }

  function examples(r) {
    const rule = rules[r], limit = now[r];
    const box = inputs[r].parentElement.querySelector(".sides-of-line");
    const sides = [false, true].map((beyond) => {
      const near = rule.near.filter(([position]) => rejects(rule, limit, position) === beyond);
      return near.sort((a, b) => Math.abs(a[0] - limit - 0.5) - Math.abs(b[0] - limit - 0.5)).slice(0, 2);
    });
    box.replaceChildren(...sides.flatMap((near, beyond) => {
      const title = document.createElement("h5");
      title.textContent = beyond ? "dropped by it" : "passing";
      const shown = near.map(([, value, place]) => {
        const one = document.createElement("p");
        const [name, said] = data.documents[place];
        const head = document.createElement("bdi");
        head.textContent = `${value} · ${name}`;
        const body = document.createElement("span");
        body.className = "excerpt";
        body.dir = "auto";
        body.textContent = said || "(no text)";
        one.append(head, body);
        return one;
      });
      if (!shown.length) {
        const none = document.createElement("p");
        none.textContent = "no example in the report";
        shown.push(none);
      }
      return [title, ...shown];
    }));
  }

  rules.forEach((rule, r) => {
    const input = inputs[r];
    if (!input) return;
    input.parentElement.hidden = false;
    input.value = rule.at; // a reload may have kept another
    input.addEventListener("input", () => {
      now[r] = input.valueAsNumber;
      draw(r);
      show();
    });
    input.parentElement.querySelector("details").addEventListener("toggle", () => examples(r));
    draw(r);
  });
  data.tables.forEach((table, t) => { // rows that nothing can change, such as languages that are dropped
    [...document.querySelectorAll(`#${table.id} tbody tr`)].forEach((line, i) => {
      line.hidden = rules.length > 0 && rules.every((rule) => rule.stays[t][0][i].every((count) => count === 0));
    });
  });
  find("x-reset").addEventListener("click", () => {
    rules.forEach((rule, r) => {
      now[r] = rule.at;
      if (inputs[r]) {
        inputs[r].value = rule.at;
        draw(r);
      }
    });
    show();
  });
  find("x-copy").addEventListener("click", async () => {
    const said = find("x-set");
    getSelection().selectAllChildren(said); // so that it can be copied by hand where a page may not
    try {
      await navigator.clipboard.writeText(said.textContent);
      find("x-copy").textContent = "Copied";
      setTimeout(() => { find("x-copy").textContent = "Copy"; }, 1500);
    } catch {
      find("x-copy").textContent = "Selected";
    }
  });
  find("explorer").hidden = false;
  show();
}
