/** Code between fences, by lines of the text. */
export interface FencedBlock {
  /** First word of the opening fence, in lower case; empty where there is none. */
  language: string
  /** Line of the opening fence, from 0. */
  begin: number
  /** Line of the closing fence, or the one after the last. */
  end: number
  /** False where nothing closes it: the text ends, or another fence with a language begins. */
  closed: boolean
  code: string
}

interface Fence {
  line: number
  mark: string
  length: number
  indent: number
  info: string
}

/**
 * The blocks that a text may mean, the one that ends last first, and of those that end at the same line the one that begins first.
 * Fences are of three or more backticks or tildes, at any indentation, which the lines of the block lose; a tag `<answer>` may stand
 * before one and `</answer>` after it.
 *
 * Models nest fences of the same length, which Markdown does not know, and forget to close them. So a text is read in two ways: one
 * after the other, where a fence with a language also ends what is open; and as brackets, where it begins a block inside of it.
 */
export function fencedBlocks(text: string): FencedBlock[] {
  const lines = text.split(/\r\n|\n/)
  const fences = findFences(lines)
  const blocks = new Map<string, FencedBlock>()
  const add = (open: Fence, end: number, closed: boolean) => {
    const code = () => lines.slice(open.line + 1, end).map((line) => unindent(line, open.indent))
    const key = `${open.line}-${end}`
    if (blocks.has(key)) return
    blocks.set(key, {
      language: languageOf(open.info),
      begin: open.line,
      end,
      closed,
      get code() {
        return code().join('\n')
      },
    })
  }
  readInOrder(fences, lines.length, add)
  readAsBrackets(fences, add)
  return [...blocks.values()].sort((a, b) => b.end - a.end || a.begin - b.begin)
}

type Add = (open: Fence, end: number, closed: boolean) => void

function readInOrder(fences: readonly Fence[], lines: number, add: Add): void {
  let open: Fence | undefined
  for (const fence of fences) {
    if (open === undefined) open = fence
    else if (fence.mark !== open.mark || fence.length < open.length) continue
    else if (fence.info === '') {
      add(open, fence.line, true)
      open = undefined
    } else {
      add(open, fence.line, false)
      open = fence
    }
  }
  if (open) add(open, lines, false)
}

function readAsBrackets(fences: readonly Fence[], add: Add): void {
  const stack: Fence[] = []
  for (const fence of fences) {
    const top = stack.at(-1)
    if (top === undefined || fence.info !== '') stack.push(fence)
    else if (fence.mark === top.mark && fence.length >= top.length) {
      stack.pop()
      add(top, fence.line, true)
    }
  }
}

const fenceLine = /^([ \t]*)(?:<answer>[ \t]*)?(`{3,}|~{3,})(.*)$/

function findFences(lines: readonly string[]): Fence[] {
  const fences: Fence[] = []
  for (const [line, text] of lines.entries()) {
    const [, space = '', run, rest = ''] = fenceLine.exec(text) ?? []
    if (run === undefined) continue
    const info = rest.replace('</answer>', '').trim()
    const mark = run[0] as string
    // ```x``` is code in a line, no fence.
    if (mark === '`' && info.includes('`')) continue
    fences.push({ line, mark, length: run.length, indent: space.length, info })
  }
  return fences
}

/** Of `python`, `Python 3`, `{.python .numberLines}`, `python:solution.py`. */
const languageOf = (info: string): string =>
  /^[{.\s]*([a-z][a-z0-9+#]*(?:\.\d+)?)/i.exec(info)?.[1]?.toLowerCase() ?? ''

/** Takes away as much white space as the opening fence has before it. */
function unindent(line: string, indent: number): string {
  let begin = 0
  while (begin < indent && (line[begin] === ' ' || line[begin] === '\t')) begin++
  return line.slice(begin)
}

/** As the code of LiveCodeBench: the lines between the last two that hold ```; undefined where there are fewer than two. */
export function lastFencedLines(text: string): string | undefined {
  const lines = text.split('\n')
  const last = lines.findLastIndex((line) => line.includes('```'))
  const begin = last <= 0 ? -1 : lines.slice(0, last).findLastIndex((line) => line.includes('```'))
  return begin < 0 ? undefined : lines.slice(begin + 1, last).join('\n')
}
