
"use strict";
// A field that narrows reasons and examples to those that hold a word. Without a script all are shown.
const field = document.querySelector("#find");
if (field) {
  field.hidden = false;
  field.addEventListener("input", () => {
    const word = field.value.trim().toLowerCase();
    for (const one of document.querySelectorAll("[data-find]")) {
      one.hidden = !one.dataset.find.includes(word);
    }
  });
}
