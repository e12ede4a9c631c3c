// A message that is pasted into the search may hold characters that are operators there, such as '-' before a word.
// They become spaces: with them, the search finds nothing.
document.addEventListener("paste", event => {
  if (!event.target.matches(".md-search__input")) return
  event.preventDefault()
  const text = event.clipboardData.getData("text").replace(/[^\p{L}\p{N}_.]+/gu, " ")
  document.execCommand("insertText", false, text.trim())
  event.target.dispatchEvent(new KeyboardEvent("keyup", { bubbles: true })) // what the theme listens to
})
