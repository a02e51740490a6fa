import { BranchMergeError } from '../errors.js'

/** Keys and positions from the root of a document to a value in it. */
export type Path = readonly (string | number)[]

export interface Place {
  /** File, line and column where there is a text, the path of the key where there is none. */
  text: string
  /** Places in their order in the text; 0 where there is none. */
  order: number
  /** True where the command line has it, and no file. */
  isOption?: boolean
}

/** Finds the place of a value, or of its `key`; `offset` counts characters in a text value. */
export type Locate = (path: Path, options?: { key?: boolean; offset?: number }) => Place

/** More would hide the first ones. */
const maxListed = 50

/** Gathers what is wrong with a document, to tell all of it at once. */
export class Problems {
  private readonly found = new Map<string, number>()
  private areOptions = true

  constructor(
    private readonly subject: string,
    private readonly locate: Locate,
  ) {}

  get count(): number {
    return this.found.size
  }

  /** `key` points at the last key of the path instead of its value. */
  add(path: Path, message: string, options: { key?: boolean; offset?: number } = {}): void {
    const { text, order, isOption = false } = this.locate(path, options)
    this.found.set(`${text}: ${message}`, order)
    this.areOptions &&= isOption
  }

  /** @throws ERR_RECIPE when anything is wrong; ERR_INVALID_ARGUMENT when all of it is on the command line */
  throwIfAny(): void {
    if (this.found.size === 0) return
    const inOrder = [...this.found].sort(([, a], [, b]) => a - b)
    throw recipeError(
      this.subject,
      inOrder.map(([problem]) => problem),
      this.areOptions ? 'ERR_INVALID_ARGUMENT' : 'ERR_RECIPE',
    )
  }
}

/** ERR_RECIPE for problems that each name their place. */
export function recipeError(
  subject: string,
  problems: readonly string[],
  code: 'ERR_RECIPE' | 'ERR_INVALID_ARGUMENT' = 'ERR_RECIPE',
): BranchMergeError {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`
  const listed = problems.slice(0, maxListed).map((problem) => `  ${problem.replaceAll('\n', '\n  ')}`)
  if (problems.length > maxListed) listed.push(`  and ${problems.length - maxListed} more`)
  return new BranchMergeError(code, `${subject} has ${count}:\n${listed.join('\n')}`)
}

/** `steps[1].options.lambda` */
export function pathText(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    if (!/^[\w-]+$/.test(part)) return `${text}[${JSON.stringify(part)}]`
    return text === '' ? part : `${text}.${part}`
  }, '')
}
