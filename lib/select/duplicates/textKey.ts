import { createHash } from 'node:crypto'
import { folded } from '../text/characters.js'
import type { Sketch, Sketcher } from './sketch.js'

/** What a text is compared with others by. */
export interface TextKey {
  /** The same for texts that differ in case, white space and compatibility forms alone. */
  exact: string
  /** Undefined where near duplicates are not looked for, and for a text without a word. */
  sketch: Sketch | undefined
}

export function textKey(text: string, sketcher: Sketcher | undefined): TextKey {
  const plain = folded(text).replace(/\s+/g, '')
  // 128 bits: two of 10^9 texts share them by chance with probability 10^-21.
  const exact = createHash('sha256').update(plain).digest().toString('latin1', 0, 16)
  return { exact, sketch: sketcher?.sketch(text) }
}
