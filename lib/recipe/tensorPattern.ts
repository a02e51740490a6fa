/** Whether a name fits a pattern in which `*` stands for any text, also none, and `?` for any one character. */
export function matchesPattern(pattern: string, name: string): boolean {
  let [p, n] = [0, 0]
  // Where to go on when what follows the last star does not fit: the star takes one character more. Earlier stars never
  // need to change, so the work is at most the product of the lengths.
  let [star, taken] = [-1, 0]
  while (n < name.length) {
    if (pattern[p] === '*') {
      star = p++
      taken = n
    } else if (pattern[p] === '?' || pattern[p] === name[n]) {
      p++
      n++
    } else if (star >= 0) {
      p = star + 1
      n = ++taken
    } else return false
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}
