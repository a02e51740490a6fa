import type { Checkpoint, CheckpointTensor } from '../checkpoint/openCheckpoint.js'
import type { ModelConfig } from '../checkpoint/readConfig.js'
import { BranchMergeError } from '../errors.js'
import { native } from '../native.js'
import { runJob } from '../runJob.js'

/** Output head and the embedding it is tied to, as architectures name them. */
const tiedNames: [head: string, embedding: string][] = [
  ['lm_head.weight', 'model.embed_tokens.weight'],
  ['lm_head.weight', 'model.language_model.embed_tokens.weight'],
  ['language_model.lm_head.weight', 'language_model.model.embed_tokens.weight'],
  ['lm_head.weight', 'transformer.wte.weight'],
  ['embed_out.weight', 'gpt_neox.embed_in.weight'],
]

/** A head that a checkpoint stores although its configuration ties it: Hugging Face leaves it out, so does the output. */
export interface TiedHead {
  checkpoint: Checkpoint
  head: CheckpointTensor
  embedding: CheckpointTensor
}

export function findTiedHead(checkpoint: Checkpoint, config: ModelConfig | undefined): TiedHead | undefined {
  if (!config?.tiesWordEmbeddings) return undefined
  const find = (name: string) => checkpoint.tensors.find((tensor) => tensor.name === name)
  for (const [headName, embeddingName] of tiedNames) {
    const [head, embedding] = [find(headName), find(embeddingName)]
    if (head && embedding) return { checkpoint, head, embedding }
  }
  return undefined
}

/**
 * Checks that a stored head is its embedding, byte for byte, so that leaving it out loses nothing.
 *
 * @throws ERR_TIED_WEIGHTS naming both.
 */
export async function verifyTiedHead(tie: TiedHead, signal: AbortSignal | undefined): Promise<void> {
  const { checkpoint, head, embedding } = tie
  const range = ({ file, begin, end }: CheckpointTensor) => ({
    path: checkpoint.files[file]?.path as string,
    begin,
    end,
  })
  const alike = head.dtype === embedding.dtype && head.shape.join() === embedding.shape.join()
  if (alike && (await runJob(() => native.equalRanges(range(head), range(embedding)), signal))) return
  throw new BranchMergeError(
    'ERR_TIED_WEIGHTS',
    `config.json of ${checkpoint.path} ties ${head.name} to ${embedding.name}, but the stored tensors differ. ` +
      'Set tie_word_embeddings to false if the model has a head of its own, or remove the stale tensor.',
  )
}
