import type { Option } from '../options/option.js'
import type { ModelChoices } from './modelChoices.js'

/** What becomes of models that are not stored alike; docs/merge.md explains each. */
export const modelKeys = {
  embeddings: {
    type: 'choice',
    choices: ['refuse', 'common', 'left', 'right'],
    default: 'refuse',
    meaning:
      'vocabulary sizes that differ: refused, or the rows that all have are merged and no others kept, or also those of the first (left) or last (right) model',
  },
  names: {
    type: 'choice',
    choices: ['equal', 'prefixes'],
    default: 'equal',
    meaning:
      'names of tensors: equal in all models, or those that agree but for prefixes as model. and language_model. taken as one; the output has those of the first model',
  },
  heads: {
    type: 'choice',
    choices: ['equal', 'embedding'],
    default: 'equal',
    meaning:
      'output heads that some models tie to the embedding and others store: they must equal the embedding, or the embedding is read as the head of those that have none',
  },
  architectures: {
    type: 'choice',
    choices: ['equal', 'any'],
    default: 'equal',
    meaning: 'first entry of architectures in config.json: equal in all models, or any',
  },
} as const satisfies Record<keyof ModelChoices, Option>
