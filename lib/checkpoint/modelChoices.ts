/**
 * What becomes of embeddings and output heads of different numbers of rows: of those that all models have, merged, the rest is
 * left out, or kept from the first (left) or the last (right) model of the result.
 */
export type EmbeddingRows = 'refuse' | 'common' | 'left' | 'right'
/** Names of tensors: equal in all models, or those that agree but for prefixes (`model.`, `language_model.`) taken as one. */
export type TensorNames = 'equal' | 'prefixes'
/** Output heads that some models have and others tie to the embedding: they must equal it, or it is read as their head. */
export type OutputHeads = 'equal' | 'embedding'
/** First entry of `architectures` in config.json: equal in all models, or any. */
export type Architectures = 'equal' | 'any'

/** What becomes of models that are not stored alike. */
export interface ModelChoices {
  /** Vocabulary sizes that differ: refused (default), or the rows of all, or those of Left or Right. */
  embeddings?: EmbeddingRows | undefined
  /** Default 'equal'. */
  names?: TensorNames | undefined
  /** Default 'equal'. */
  heads?: OutputHeads | undefined
  /** Default 'equal'. */
  architectures?: Architectures | undefined
}

/** The values of each choice, its default first. */
export const modelChoices = {
  embeddings: ['refuse', 'common', 'left', 'right'],
  names: ['equal', 'prefixes'],
  heads: ['equal', 'embedding'],
  architectures: ['equal', 'any'],
} as const satisfies { [K in keyof ModelChoices]-?: readonly NonNullable<ModelChoices[K]>[] }
