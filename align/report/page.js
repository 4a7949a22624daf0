// Samples: one step at a time, by the list or step by step.
for (const samples of document.querySelectorAll(".samples")) {
  const list = samples.querySelector("select"), buttons = [...samples.querySelectorAll("[data-move]")];
  const turn = () => {
    for (const table of samples.querySelectorAll("[data-step]")) table.hidden = table.dataset.step !== list.value;
    for (const button of buttons) button.disabled = !list.options[list.selectedIndex + Number(button.dataset.move)];
  };
  list.addEventListener("change", turn);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      list.selectedIndex += Number(button.dataset.move);
      turn();
    });
  }
  turn();  // a browser may restore the list where a reader left it
}
