/** Icons on a grid of 16, drawn with the text's colour. They repeat what stands beside them, so readers of the page skip them. */
import { html, svg } from '/console/vendor/lit-html.js'

/** @param {unknown} paths */
const icon = paths => html`<svg
  viewBox="0 0 16 16"
  fill="none"
  stroke="currentColor"
  stroke-width="1.5"
  stroke-linecap="round"
  stroke-linejoin="round"
  aria-hidden="true"
>${paths}</svg>`

export const icons = {
  logo: html`<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" fill="#1462c4" /><g
    fill="none"
    stroke="#fff"
    stroke-width="2.5"
    stroke-linecap="round"
  ><path d="M6 8c6 0 7 8 13 8h7" /><path d="M6 24c6 0 7-8 13-8" /><path d="M6 16h20" /></g></svg>`,
  overview: icon(
    svg`<rect x="2" y="2" width="5" height="6" rx="1"/><rect x="2" y="11" width="5" height="3" rx="1"/><rect x="10" y="8" width="4" height="6" rx="1"/><rect x="10" y="2" width="4" height="3" rx="1"/>`,
  ),
  series: icon(svg`<path d="M1.5 10.5 5 6l3 3.5L14.5 3"/><path d="M2 14h12"/>`),
  anomalies: icon(svg`<path d="M8 2 1.5 13.5h13z"/><path d="M8 6.5v3"/><path d="M8 11.6v.1"/>`),
  agents: icon(
    svg`<rect x="2" y="9" width="12" height="4.5" rx="1"/><path d="M5 11.2v.1"/><path d="M8 9V6"/><path d="M5.2 4.2a4 4 0 0 1 5.6 0"/><path d="M3.2 2.2a6.8 6.8 0 0 1 9.6 0"/>`,
  ),
  search: icon(svg`<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5"/>`),
  close: icon(svg`<path d="m4 4 8 8M12 4l-8 8"/>`),
  copy: icon(
    svg`<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M10.5 3.5v-.5a1 1 0 0 0-1-1H3a1 1 0 0 0-1 1v6.5a1 1 0 0 0 1 1h.5"/>`,
  ),
  done: icon(svg`<path d="m3 8.5 3.5 3.5L13 5"/>`),
  back: icon(svg`<path d="M13 8H3"/><path d="M7 4 3 8l4 4"/>`),
  zoomOut: icon(svg`<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5M5 7h4"/>`),
  zoomIn: icon(svg`<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5M5 7h4M7 5v4"/>`),
  theme: icon(svg`<circle cx="8" cy="8" r="5.5"/><path d="M8 2.5a5.5 5.5 0 0 0 0 11z" fill="currentColor"/>`),
  keys: icon(svg`<rect x="1.5" y="4" width="13" height="8" rx="1.5"/><path d="M4.5 7v.1M8 7v.1M11.5 7v.1M5 9.5h6"/>`),
  signOut: icon(
    svg`<path d="M6 2.5H3.5a1 1 0 0 0-1 1v9a1 1 0 0 0 1 1H6"/><path d="M10.5 11 13.5 8l-3-3"/><path d="M13.5 8H6"/>`,
  ),
  menu: icon(svg`<path d="M2 4.5h12M2 8h12M2 11.5h12"/>`),
  add: icon(svg`<path d="M8 3v10M3 8h10"/>`),
  critical: html`<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M8 1 15 8l-7 7-7-7z" fill="currentColor" /></svg>`,
  warning: html`<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M8 1.5 15 14H1z" fill="currentColor" /></svg>`,
}
