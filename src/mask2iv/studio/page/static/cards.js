element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-index]");
  if (card) trigger("choose", { index: Number(card.dataset.index) });
});
