import type { StepKindName } from '../pipelineKeys.js'
import { compare } from './compare.js'
import { evaluate } from './evaluate.js'
import { fuse } from './fuse.js'
import { merge } from './merge.js'
import { select } from './select.js'
import { sft } from './sft.js'
import type { StepKind } from './stepKind.js'
import { teach } from './teach.js'

/** Every kind of step by the key that it has in a pipeline. */
export const kinds: Readonly<Record<StepKindName, StepKind>> = { select, teach, sft, merge, fuse, evaluate, compare }
