/** The overlay that lists the keys. */
import { html } from '/console/vendor/lit-html.js'
import { icons } from './icons.js'

/** @type {readonly (readonly [string, readonly string[]])[]} */
const shortcuts = [
  ['Search series', ['/']],
  ['Overview, series, anomalies, agents', ['g o', 'g s', 'g a', 'g g']],
  ['Move in the series list', ['↑', '↓']],
  ['Chart the series under the mark', ['Enter']],
  ['Add it to the chart, or take it out', ['Space']],
  ['Move along the curve', ['←', '→']],
  ['Zoom in, zoom out', ['+', '−']],
  ['Back to the whole range', ['0']],
  ['Next, previous anomaly of the chart', ['n', 'p']],
  ['Live on or off', ['l']],
  ['Light or dark', ['t']],
  ['Close what is open', ['Esc']],
  ['This list', ['?']],
]

/** @param {string} keys one after another */
const chord = keys => html`<span class="chord">${keys.split(' ').map(key => html`<kbd>${key}</kbd>`)}</span>`

/** @param {() => void} close */
export const shortcutsView = close => html`<div
  class="overlay"
  @click=${(/** @type {MouseEvent} */ event) => {
    if (event.target === event.currentTarget) close()
  }}
>
  <div class="dialog" role="dialog" aria-modal="true" aria-labelledby="shortcuts-title" tabindex="-1" data-focus>
    <div class="dialog-head">
      <h2 id="shortcuts-title">Keyboard shortcuts</h2>
      <button class="icon-button" type="button" aria-label="Close" @click=${close}>${icons.close}</button>
    </div>
    <dl class="keys">
      ${shortcuts.map(([text, keys]) => html`<dt>${text}</dt><dd>${keys.map(chord)}</dd>`)}
    </dl>
  </div>
</div>`
