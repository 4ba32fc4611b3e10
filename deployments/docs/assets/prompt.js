// The prompt of a shell is drawn by the style sheet, so that the copy button leaves it out.
document.addEventListener("DOMContentLoaded", () =>
  document.querySelectorAll(".highlight .gp").forEach((prompt) => {
    prompt.dataset.prompt = prompt.textContent
    prompt.textContent = ""
  })
)
