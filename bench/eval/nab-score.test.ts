import { expect, test } from 'vitest'
import { profiles, type ScoredFile, scoreAt, scoreAtBest } from './nab-score.ts'

/** 100 rows, so 15 of probation; a window of rows 50 to 59. */
function file(scores: Record<number, number>): ScoredFile {
  return { scores: Float64Array.from({ length: 100 }, (_, i) => scores[i] ?? 0), windows: [[50, 59]] }
}
const sig = (y: number) => 2 / (1 + Math.exp(5 * y)) - 1
const { standard, lowFN } = profiles

test('no detection is 0, the first row of the window alone is 100', () => {
  expect(scoreAt([file({})], standard, 1).score).toBe(0)
  expect(scoreAt([file({ 50: 1 })], standard, 1)).toEqual({ threshold: 1, score: 100, windowsFound: 1, falseAlarms: 0 })
})

test('a later row of the window is worth less, and only the best one counts', () => {
  const worth = sig(-0.1) / sig(-1)
  expect(scoreAt([file({ 59: 1 })], standard, 1).score).toBeCloseTo(50 + 50 * worth, 9)
  expect(scoreAt([file({ 50: 1, 59: 1 })], standard, 1).score).toBe(100)
})

test('a detection outside costs its weight before the first window, and less just after one', () => {
  expect(scoreAt([file({ 20: 1, 50: 1 })], standard, 1).score).toBeCloseTo(100 - 5.5, 9)
  expect(scoreAt([file({ 50: 1, 60: 1 })], standard, 1).score).toBeCloseTo(100 + 50 * 0.11 * sig(1 / 9), 9)
  expect(scoreAt([file({ 50: 1, 99: 1 })], standard, 1).score).toBeCloseTo(100 - 5.5, 9)
})

test('probation is not scored, and a window that lies in it cannot be missed', () => {
  expect(scoreAt([file({ 14: 1 })], standard, 1).falseAlarms).toBe(0)
  expect(scoreAt([file({ 15: 1 })], standard, 1).falseAlarms).toBe(1)
  const early: ScoredFile = { scores: new Float64Array(100), windows: [[2, 8]] }
  expect(scoreAt([early, file({ 50: 1 })], lowFN, 1).score).toBeCloseTo((100 * (1 + 2)) / (2 + 2), 9)
})

test('the best threshold takes equal scores together and leaves out what costs more than it brings', () => {
  const best = scoreAtBest([file({ 20: 0.5, 50: 0.9, 70: 0.9 })], standard)
  expect(best.threshold).toBe(0.9)
  expect(best).toMatchObject({ windowsFound: 1, falseAlarms: 1 })
  expect(scoreAtBest([file({ 20: 1 })], standard)).toMatchObject({ score: 0, falseAlarms: 0 })
})
