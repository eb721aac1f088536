/**
 * The sign-in page. The key goes once into the body of a request and is forgotten: the browser keeps a cookie that scripts cannot read.
 *
 * @import { AppState } from '../types.d.ts'
 */
import { html, nothing } from '/console/vendor/lit-html.js'
import { icons } from './icons.js'
import { commandLine } from './parts.js'

/**
 * @param {AppState} state
 * @param {{ signIn: (key: string) => void }} actions
 */
export function signInView({ signIn }, actions) {
  const { busy, error } = signIn
  return html`<main class="sign-in">
    <div class="sign-in-card">
      <div class="brand">${icons.logo}Tributary</div>
      <h1>Sign in</h1>
      <p class="soft">With an API key of this hub.</p>
      <form
        @submit=${(/** @type {SubmitEvent} */ event) => {
          event.preventDefault()
          const field = /** @type {HTMLInputElement} */ (document.getElementById('key'))
          actions.signIn(field.value.trim())
          field.value = ''
        }}
      >
        <label for="key">API key</label>
        <input
          id="key"
          class="field"
          type="password"
          required
          autofocus
          autocomplete="off"
          autocapitalize="none"
          spellcheck="false"
          placeholder="tak_…"
          aria-describedby=${error === null ? nothing : 'key-error'}
          aria-invalid=${error === null ? nothing : 'true'}
        />
        ${error === null ? nothing : html`<p class="error-text" id="key-error" role="alert">${error}</p>`}
        <button class="button primary" ?disabled=${busy}>${busy ? 'Signing in…' : 'Sign in'}</button>
      </form>
      <details>
        <summary>Where do I find a key?</summary>
        <p>The hub wrote its admin key at its first start into its data folder:</p>
        ${commandLine('cat hub-data/admin-key')}
      </details>
    </div>
  </main>`
}
