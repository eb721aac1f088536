/** Where the keyboard is: what opens takes the focus once, and gives it back when it closes. */

export class Focus {
  /** @type {Element | null} */
  #before = null
  #opened = ''

  /** Before something is laid over the page. */
  remember() {
    this.#before = document.activeElement
  }

  /** After it was closed. */
  giveBack() {
    const before = this.#before
    if (before instanceof HTMLElement) requestAnimationFrame(() => before.focus())
  }

  /** After each drawing: an element with `data-focus` that was not there before takes the focus. */
  drawn() {
    const element = document.querySelector('[data-focus]')
    const opened = element === null ? '' : `${element.id || element.className} ${element.getAttribute('data-focus')}`
    if (opened !== this.#opened && element instanceof HTMLElement) element.focus({ preventScroll: true })
    this.#opened = opened
  }
}
