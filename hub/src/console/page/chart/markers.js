/**
 * Marks of anomalies on a curve: where they stand, and which of them are one mark because they would cover each other.
 *
 * @import { Anomaly } from '../types.d.ts'
 */

/**
 * @typedef {object} Mark
 * @property {Anomaly[]} anomalies by time; more than one when they stand too close to tell apart
 * @property {Anomaly} worst the one that the mark opens
 * @property {number} left CSS px from the plot's left edge
 * @property {number} top CSS px from the plot's top edge
 */

/** Closer than this, two marks become one, CSS px. */
export const markDistance = 14

/**
 * @param {readonly Anomaly[]} anomalies by time of opening
 * @param {(anomaly: Anomaly) => { left: number, top: number } | null} place null: outside the plot
 * @param {string | null} selected stands alone, whatever is near
 * @returns {Mark[]}
 */
export function placeMarks(anomalies, place, selected) {
  /** @type {Mark[]} */
  const marks = []
  for (const anomaly of anomalies) {
    const at = place(anomaly)
    if (at === null) continue
    const last = marks.at(-1)
    const alone = anomaly.anomalyId === selected || last?.worst.anomalyId === selected
    if (last !== undefined && !alone && Math.abs(at.left - last.left) < markDistance) merge(last, anomaly, at)
    else marks.push({ anomalies: [anomaly], worst: anomaly, ...at })
  }
  return marks
}

/**
 * @param {Mark} mark
 * @param {Anomaly} anomaly
 * @param {{ left: number, top: number }} at
 */
function merge(mark, anomaly, at) {
  mark.anomalies.push(anomaly)
  if (anomaly.surprise <= mark.worst.surprise) return
  mark.worst = anomaly
  mark.left = at.left
  mark.top = at.top
}
