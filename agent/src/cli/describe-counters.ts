import type { ClassCounters, Counters } from '../buffer/counters.ts'

/** The law of promise 3; by class where there is more than raw. */
export function describeCounters({ classes, deadLettered, maybeDuplicate, ...all }: Counters): string[] {
  const law = ({ stored, folded, suppressed, evicted }: Omit<ClassCounters, 'class'>, letters = '') =>
    `${stored} stored + ${folded} folded + ${suppressed} suppressed${letters} + ${evicted} evicted`
  const used = classes.filter(one => one.accepted > 0)
  const byClass = used.some(one => one.class !== 'raw') ? used : []
  return [
    `readings   ${all.accepted} accepted = ${law(all, ` + ${deadLettered} dead-lettered`)}; ${maybeDuplicate} maybe twice`,
    ...byClass.map(one => `${`  ${one.class}`.padEnd(12)}${one.accepted} accepted = ${law(one)}`),
  ]
}
