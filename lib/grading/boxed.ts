/** How far a `{` may stand behind `\boxed`. */
const maxGap = 8

/**
 * What stands in each `\boxed{}` and `\fbox{}`, in the order in which they begin; one in another is an entry of its own. Those that
 * are never closed are none. `\{` and `\}` are no braces. Takes time in proportion to the text's length.
 */
export function boxesIn(text: string): string[] {
  const boxes: { begin: number; content: string }[] = []
  const open: { begin: number; isBox: boolean }[] = []
  for (const { 0: mark, index } of text.matchAll(/\\.|[{}]/gs)) {
    if (mark === '{') open.push({ begin: index + 1, isBox: isBoxAt(text, index) })
    else if (mark === '}') {
      const { begin, isBox } = open.pop() ?? {}
      if (isBox && begin !== undefined) boxes.push({ begin, content: text.slice(begin, index) })
    }
  }
  return boxes.sort((a, b) => a.begin - b.begin).map(({ content }) => content)
}

/** Also behind two backslashes, as models write it that quote JSON. */
function isBoxAt(text: string, brace: number): boolean {
  return /\\(boxed|fbox)\s*$/.test(text.slice(Math.max(0, brace - 6 - maxGap), brace))
}
