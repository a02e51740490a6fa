import type { ModelChoices } from '../../checkpoint/modelChoices.js'
import type { Checkpoint, CheckpointTensor } from '../../checkpoint/openCheckpoint.js'
import type { ModelConfig } from '../../checkpoint/readConfig.js'
import { BranchMergeError } from '../../errors.js'
import { native } from '../../native/native.js'
import { runJob } from '../../native/runJob.js'

/** Output head and the embedding it is tied to, as architectures name them. */
const tiedNames: [head: string, embedding: string][] = [
  ['lm_head.weight', 'model.embed_tokens.weight'],
  ['lm_head.weight', 'model.language_model.embed_tokens.weight'],
  ['language_model.lm_head.weight', 'language_model.model.embed_tokens.weight'],
  ['lm_head.weight', 'transformer.wte.weight'],
  ['embed_out.weight', 'gpt_neox.embed_in.weight'],
]

/** A head that is stored although it is the embedding: Hugging Face leaves it out, so does the output. */
export interface TiedHead {
  checkpoint: Checkpoint
  head: CheckpointTensor
  embedding: CheckpointTensor
  /** Label of the model that has no head of its own, where this one's configuration does not tie it. */
  because?: string | undefined
}

interface HeadedModel {
  label: string
  checkpoint: Checkpoint
  config: ModelConfig | undefined
}

/** The models of a merge with one kind of head. */
export interface SettledHeads<M> {
  models: (M & { tiedHead: TiedHead | undefined })[]
  /** What tie_word_embeddings of the output must be; undefined: as it is. */
  ties: boolean | undefined
  /** Labels of the models whose embedding is read as their head. */
  borrowing: string[]
}

/**
 * Where some models tie the head to the embedding and others store one of their own, the others are taken as tied, too: that
 * their heads equal their embeddings is checked before the merge runs ({@link verifyTiedHead}). With `embedding`, the embedding
 * of those that have no head is read as their head instead.
 */
export function settleHeads<M extends HeadedModel>(
  models: readonly M[],
  choice: NonNullable<ModelChoices['heads']>,
): SettledHeads<M> {
  const found = models.map((model) => ({ model, ...headOf(model.checkpoint) }))
  const ties = ({ config }: M) => config?.tiesWordEmbeddings === true
  const hasOwn = ({ model, head }: (typeof found)[number]) => head !== undefined && !ties(model)
  const anyOwn = found.some(hasOwn)
  if (choice === 'embedding' && anyOwn) {
    const borrowing = found.filter((each) => each.embedding && !hasOwn(each))
    const settled = found.map((each) => {
      const { model, headName, embedding } = each
      const borrowed =
        embedding && !hasOwn(each) ? withHead(model.checkpoint, headName as string, embedding) : undefined
      return { ...model, checkpoint: borrowed ?? model.checkpoint, tiedHead: undefined }
    })
    const labels = borrowing.map(({ model }) => model.label)
    return { models: settled, ties: labels.length > 0 ? false : undefined, borrowing: labels }
  }
  // Of a single file no configuration tells.
  const isTied = ({ model, head }: (typeof found)[number]) => ties(model) || (!head && !model.config)
  const because = anyOwn ? found.find((each) => each.embedding && isTied(each))?.model.label : undefined
  const settled = found.map((each) => {
    const { model, head, embedding } = each
    const leavesOut = head && embedding && (ties(model) || because !== undefined)
    const tiedHead = leavesOut
      ? { checkpoint: model.checkpoint, head, embedding, because: ties(model) ? undefined : because }
      : undefined
    return { ...model, tiedHead }
  })
  return { models: settled, ties: because === undefined ? undefined : true, borrowing: [] }
}

interface FoundHead {
  headName?: string | undefined
  head?: CheckpointTensor | undefined
  embedding?: CheckpointTensor | undefined
}

function headOf({ tensors }: Checkpoint): FoundHead {
  const find = (name: string) => tensors.find((tensor) => tensor.name === name)
  for (const [headName, embeddingName] of tiedNames) {
    const embedding = find(embeddingName)
    if (embedding) return { headName, head: find(headName), embedding }
  }
  return {}
}

/** The checkpoint with its embedding as its head, too. */
function withHead(checkpoint: Checkpoint, name: string, embedding: CheckpointTensor): Checkpoint {
  const others = checkpoint.tensors.filter((tensor) => tensor.name !== name)
  return { ...checkpoint, tensors: [...others, { ...embedding, name }] }
}

/**
 * Checks that a stored head is its embedding, byte for byte, so that leaving it out loses nothing.
 *
 * @throws ERR_TIED_WEIGHTS naming both.
 */
export async function verifyTiedHead(tie: TiedHead, signal: AbortSignal | undefined): Promise<void> {
  const { checkpoint, head, embedding, because } = tie
  const range = ({ file, begin, end }: CheckpointTensor) => ({
    path: checkpoint.files[file]?.path as string,
    begin,
    end,
  })
  const alike = head.dtype === embedding.dtype && head.shape.join() === embedding.shape.join()
  if (alike && (await runJob(() => native.equalRanges(range(head), range(embedding)), signal))) return
  throw new BranchMergeError(
    'ERR_TIED_WEIGHTS',
    because === undefined
      ? `config.json of ${checkpoint.path} ties ${head.name} to ${embedding.name}, but the stored tensors differ. ` +
          'Set tie_word_embeddings to false if the model has a head of its own, or remove the stale tensor.'
      : `${head.name} of ${checkpoint.path} is not its embedding, but the head of ${because} is. To take the embedding ` +
          `of ${because} as its head, choose heads: embedding (--heads embedding): the output then has a head of its own.`,
  )
}
