/**
 * Dark or light: as the system says, or as chosen here. The choice is the only thing that the page keeps in storage.
 *
 * @import { AppState } from './types.d.ts'
 */

const storageKey = 'tributary-theme'

/** @returns {AppState['theme']} */
export function rememberedTheme() {
  const theme = storage()?.getItem(storageKey)
  return theme === 'light' || theme === 'dark' ? theme : 'auto'
}

/** @param {AppState['theme']} theme */
export function applyTheme(theme) {
  const root = document.documentElement
  if (theme === 'auto') {
    storage()?.removeItem(storageKey)
    delete root.dataset.theme
  } else {
    storage()?.setItem(storageKey, theme)
    root.dataset.theme = theme
  }
}

/** Null where the browser keeps nothing for this page: then the choice lasts as long as the page. */
function storage() {
  try {
    return localStorage
  } catch {
    return null
  }
}

/** @param {AppState['theme']} theme */
export function isDark(theme) {
  return theme === 'auto' ? matchMedia('(prefers-color-scheme: dark)').matches : theme === 'dark'
}
