/**
 * The frame around every view: where one can go, whether the hub is heard, and what concerns the whole page.
 *
 * @import { AppState, Connection, ViewName } from '../types.d.ts'
 */
import { html, nothing } from '/console/vendor/lit-html.js'
import { formatDuration, zoneText } from '../format.js'
import { formatRoute } from '../router.js'
import { icons } from './icons.js'

/**
 * @typedef {object} ShellActions
 * @property {() => void} retryConnection
 * @property {() => void} nextTheme
 * @property {() => void} signOut
 * @property {() => void} dismissFailure
 * @property {(overlay: AppState['overlay']) => void} setOverlay
 */

/** @type {readonly { name: ViewName, text: string }[]} */
const places = [
  { name: 'overview', text: 'Overview' },
  { name: 'series', text: 'Series' },
  { name: 'anomalies', text: 'Anomalies' },
  { name: 'agents', text: 'Agents' },
]

/** @type {Readonly<Record<AppState['theme'], string>>} */
const themeNames = { auto: 'as the system', light: 'light', dark: 'dark' }

/**
 * @param {AppState} state
 * @param {ShellActions} actions
 * @param {unknown} view
 */
export function shellView(state, actions, view) {
  return html`<div class="shell">
    <a class="skip" href="#main" @click=${focusMain}>Skip to the content</a>
    <header class="topbar">
      <a class="brand" href="#/">${icons.logo}Tributary</a>
      ${connectionMark(state.connection)}
      <button
        class="icon-button"
        type="button"
        aria-label="Menu"
        aria-expanded=${state.overlay === 'menu'}
        @click=${() => actions.setOverlay(state.overlay === 'menu' ? 'none' : 'menu')}
      >${icons.menu}</button>
    </header>
    <div class="side">
      <a class="brand" href="#/">${icons.logo}Tributary</a>
      <nav class="nav" aria-label="Views">${places.map(place => navLink(state, place))}</nav>
      <div class="side-foot">${pageButtons(state, actions)}${hubLine(state)}</div>
    </div>
    <main class="main" id="main" tabindex="0">${banners(state, actions)}${view}</main>
    <nav class="tabs" aria-label="Views">${places.map(place => navLink(state, place))}</nav>
    ${state.overlay === 'menu' ? html`<div class="menu">${pageButtons(state, actions)}${hubLine(state)}</div>` : nothing}
  </div>`
}

/** @param {Event} event */
function focusMain(event) {
  event.preventDefault()
  document.getElementById('main')?.focus()
}

/**
 * @param {AppState} state
 * @param {{ name: ViewName, text: string }} place
 */
function navLink({ route, overview }, { name, text }) {
  const open = name === 'anomalies' ? (overview?.anomalies.open ?? 0) : 0
  const severity = (overview?.anomalies.critical ?? 0) > 0 ? 'critical' : 'warning'
  return html`<a href=${formatRoute({ view: name })} aria-current=${route.view === name ? 'page' : nothing}>
    ${icons[name]}<span>${text}</span>
    ${open > 0 ? html`<span class="badge ${severity}">${open > 99 ? '99+' : open}<span class="sr-only"> open</span></span>` : nothing}
  </a>`
}

/**
 * @param {AppState} state
 * @param {ShellActions} actions
 */
const pageButtons = ({ theme }, actions) => html`
  <button type="button" @click=${() => actions.nextTheme()}>${icons.theme}<span>Theme: ${themeNames[theme]}</span></button>
  <button class="wide-only" type="button" @click=${() => actions.setOverlay('shortcuts')}>
    ${icons.keys}<span>Shortcuts</span><kbd aria-hidden="true">?</kbd>
  </button>
  <button type="button" @click=${() => actions.signOut()}>${icons.signOut}<span>Sign out</span></button>`

/** @param {AppState} state */
const hubLine = ({ connection, overview, nowMs }) => html`<div class="hub-line">
  ${connectionMark(connection)}
  <span>${overview === null ? 'Hub' : `Hub ${overview.hub.version}`}</span>
  <span title="Times are shown in this zone">${zoneText(new Date(nowMs))}</span>
</div>`

/** @type {Readonly<Record<Connection['mode'], { dot: string, text: string }>>} */
const connectionTexts = {
  idle: { dot: 'hollow', text: 'Not connected' },
  connecting: { dot: 'hollow', text: 'Connecting' },
  open: { dot: 'ok', text: 'Live' },
  waiting: { dot: 'critical', text: 'Not connected' },
}

/** @param {Connection} connection */
function connectionMark({ mode }) {
  const { dot, text } = connectionTexts[mode]
  return html`<span class="connection" data-connection=${mode}><span class="dot ${dot}"></span>${text}</span>`
}

/**
 * @param {AppState} state
 * @param {ShellActions} actions
 */
function banners({ connection, failure, nowMs }, actions) {
  return html`
    ${
      connection.mode === 'waiting'
        ? html`<div class="banner" role="status">
            ${icons.warning}
            <span>${connection.reason} Trying again ${inText(connection.retryAtMs - nowMs)}.</span>
            <button class="button small" type="button" @click=${() => actions.retryConnection()}>Try now</button>
          </div>`
        : nothing
    }
    ${
      failure === null
        ? nothing
        : html`<div class="banner failure" role="alert">
            ${icons.critical}
            <span>${failure}</span>
            <button class="button small" type="button" @click=${() => actions.dismissFailure()}>Dismiss</button>
          </div>`
    }`
}

/** @param {number} ms */
function inText(ms) {
  return ms < 1000 ? 'now' : `in ${formatDuration(Math.ceil(ms / 1000) * 1000)}`
}
