import { digest, seedOf } from '../../asking/keys.js'
import type { Prompt } from '../../engines/generation.js'
import type { Asking } from './records.js'

/** Id of an asking: the same whenever it asks the same. Where a server stands is no part of it. */
export const askingId = (asking: Asking): string => digest({ v: 1, ...asking }).slice(0, 16)

/** What keys of answers begin with: all that determines them but their prompts, so that questions can be added. */
export const keyRoot = ({ prompts: _, ...rest }: Asking): string => digest({ v: 1, ...rest }).slice(0, 16)

/** Key of an answer: over everything that determines it. */
export const answerKey = (root: string, question: string, trial: number, prompt: Prompt): string =>
  digest({ v: 1, asking: root, question, trial, prompt })

/** The seed of one request, the same for every model: an unsigned 32-bit number. */
export const requestSeed = (seed: number, benchmark: string, question: string, trial: number): number =>
  seedOf({ seed, benchmark, question, trial })
