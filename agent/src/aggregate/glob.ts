/** Does the text match a pattern in which `*` stands for any run of characters and `?` for one? In time |pattern| · |text| at most. */
export function matchesGlob(pattern: string, text: string): boolean {
  let at = 0
  let next = 0
  /** The last `*`, and the text from which it is tried to end. */
  let star = -1
  let resume = 0
  while (next < text.length) {
    if (pattern[at] === '*') {
      star = at++
      resume = next
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[next])) {
      at++
      next++
    } else if (star >= 0) {
      at = star + 1
      next = ++resume
    } else {
      return false
    }
  }
  while (pattern[at] === '*') at++
  return at === pattern.length
}
