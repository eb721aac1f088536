/** Buttons with `data-copy` put its text on the clipboard, and show for a moment that they did. */

const shownMs = 1500

/** @param {MouseEvent} event */
export async function copyCommand({ target }) {
  const button = target instanceof Element ? target.closest('[data-copy]') : null
  if (!(button instanceof HTMLElement)) return
  await navigator.clipboard?.writeText(button.dataset.copy ?? '')
  button.classList.add('copied')
  setTimeout(() => button.classList.remove('copied'), shownMs)
}
