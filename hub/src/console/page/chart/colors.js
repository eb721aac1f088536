/** The page's colours for a canvas: custom properties resolved by the browser, so that one place names them for both themes. */

/**
 * @param {Element} host
 * @param {string} name `--series-1`
 * @param {number} [alpha]
 */
export function colorOf(host, name, alpha = 1) {
  const probe = document.createElement('span')
  probe.style.color = `var(${name})`
  host.append(probe)
  const color = getComputedStyle(probe).color
  probe.remove()
  const [r, g, b] = color.match(/[\d.]+/g) ?? ['128', '128', '128']
  return `rgb(${r} ${g} ${b} / ${alpha})`
}

/** @param {number} index of the series in the chart */
export const seriesColor = index => `--series-${(index % 8) + 1}`
