import type { CodeOutline, ProgramRunner } from '../../sandbox/program.js'
import { type FencedBlock, fencedBlocks } from './fencedBlocks.js'

/** What was taken as the program, or why nothing was. */
export type Extraction =
  | { code: string; rule: string; names: readonly string[]; problem?: undefined }
  /** `code`: a block that stands for the answer, though it cannot run. */
  | { code: string | null; rule: string; names?: undefined; problem: string }

/** Whether a block that compiles is a program of the kind that is asked for; otherwise what it lacks. */
export type Requirement = (outline: CodeOutline, code: string) => string | undefined

/** A text of 32,768 tokens has a few blocks; what has many more is a loop, and each costs a compilation. */
const maxTried = 40

/**
 * The last block of an answer that is Python by its fence, compiles and meets the requirement; else the last of any fence that
 * compiles, meets it and is longer than a line.
 */
export async function extractCode(
  answer: string,
  runner: ProgramRunner,
  requirement: Requirement,
  signal?: AbortSignal,
): Promise<Extraction> {
  const blocks = fencedBlocks(answer)
  if (blocks.length === 0) return { code: null, rule: 'no fenced block', problem: 'the answer has no fenced block' }
  const others = blocks.filter((block) => !isPython(block))
  const ordered = [...blocks.filter(isPython), ...others]
  let best: Extraction | undefined
  for (const block of ordered.slice(0, maxTried)) {
    const { code } = block
    const rule = isPython(block) ? 'last python block' : 'last block that compiles'
    if (code.trim() === '' || (!isPython(block) && !hasSeveralLines(code))) continue
    const outline = await runner.outline(code, signal)
    const problem = outline.compiles ? requirement(outline, code) : (outline.problem ?? 'it does not compile')
    if (problem === undefined) return { code, rule: block.closed ? rule : `${rule}, not closed`, names: outline.names }
    best ??= { code, rule: 'no block fits', problem }
  }
  return best ?? { code: null, rule: 'no program', problem: 'no fenced block can be a program' }
}

const isPython = ({ language }: FencedBlock): boolean => /^(?:python|py)[\d.]*$/.test(language)

const hasSeveralLines = (code: string): boolean => code.split('\n').filter((line) => line.trim() !== '').length > 1

/** A program that calls nothing prints nothing: such a block is a sample of the output that happens to be Python. */
export const isProgram: Requirement = (_, code) => (code.includes('(') ? undefined : 'it calls nothing')

/** Defines one of the names: a function, or `Class.method`. */
export const defines =
  (...names: readonly string[]): Requirement =>
  (outline) =>
    names.some((name) => outline.names.includes(name)) ? undefined : `it does not define ${names.join(' or ')}`
