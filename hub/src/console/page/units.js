/** Units as sensors give them, mostly UCUM codes, as people write them. What is not known is shown as it came. */

/** @type {ReadonlyMap<string, string>} */
const written = new Map([
  ['Cel', '°C'],
  ['cel', '°C'],
  ['[degF]', '°F'],
  ['degF', '°F'],
  ['1', ''],
  ['{count}', ''],
  ['{parts}', 'parts'],
  ['[pH]', 'pH'],
  ['[ppm]', 'ppm'],
  ['Ohm', 'Ω'],
  ['kOhm', 'kΩ'],
  ['deg', '°'],
  ['m2', 'm²'],
  ['m3', 'm³'],
  ['m/s2', 'm/s²'],
  ['m3/h', 'm³/h'],
  ['m3/s', 'm³/s'],
  ['W/m2', 'W/m²'],
  ['umol', 'µmol'],
  ['um', 'µm'],
  ['us', 'µs'],
  ['uV', 'µV'],
  ['uA', 'µA'],
  ['kW.h', 'kWh'],
  ['W.h', 'Wh'],
  ['A.h', 'Ah'],
  ['N.m', 'N·m'],
  ['/min', '1/min'],
  ['[in_i]', 'in'],
  ['[ft_i]', 'ft'],
  ['[psi]', 'psi'],
  ['%RH', '% RH'],
])

/** @param {string} unit */
export function unitText(unit) {
  return written.get(unit) ?? unit
}

/**
 * A value and its unit, joined so that they do not part at a line's end; degrees and per cent stand close as usual.
 * @param {string} value
 * @param {string} unit
 */
export function withUnit(value, unit) {
  const text = unitText(unit)
  if (text === '') return value
  return text === '°' ? `${value}°` : `${value}\u202f${text}`
}
