/** The page's state in one place: views are functions of it, `update` replaces parts of it, and one frame later they are drawn again. */

/**
 * @template State
 * @param {State} initial
 * @param {(state: State) => void} draw called at most once a frame
 */
export function createStore(initial, draw) {
  let state = initial
  let scheduled = false
  const redraw = () => {
    if (scheduled) return
    scheduled = true
    requestAnimationFrame(() => {
      scheduled = false
      draw(state)
    })
  }
  return {
    get: () => state,
    /** @param {Partial<State>} parts */
    update(parts) {
      state = { ...state, ...parts }
      redraw()
    },
  }
}

/** @typedef {ReturnType<typeof createStore<import('./types.d.ts').AppState>>} Store */
