// Written from modelKeys.ts by `npx vitest run test/options.test.ts -u`: see CONTRIBUTING.md.

/** What becomes of models that are not stored alike. */
export interface ModelChoices {
  /**
   * Vocabulary sizes that differ: refused, or the rows that all have are merged and no others kept, or also those of
   * the first (left) or last (right) model. Default: refuse.
   */
  embeddings?: 'refuse' | 'common' | 'left' | 'right' | undefined
  /**
   * Names of tensors: equal in all models, or those that agree but for prefixes as model. and language_model. taken as
   * one; the output has those of the first model. Default: equal.
   */
  names?: 'equal' | 'prefixes' | undefined
  /**
   * Output heads that some models tie to the embedding and others store: they must equal the embedding, or the
   * embedding is read as the head of those that have none. Default: equal.
   */
  heads?: 'equal' | 'embedding' | undefined
  /** First entry of architectures in config.json: equal in all models, or any. Default: equal. */
  architectures?: 'equal' | 'any' | undefined
}
