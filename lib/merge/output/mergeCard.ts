import { markdownTable, modelCard } from '../../card/modelCard.js'
import { recipeText } from '../../recipe/mergekit.js'
import { formatPercent } from '../../text/format.js'
import { version } from '../../version.js'
import type { MergePlan } from '../plan/mergePlan.js'
import type { MergeOutcome } from './mergeOutcome.js'

/** The card of a merged checkpoint: what was merged, how, and how much of it was taken. The same wherever it lies. @throws ERR_FILE_READ */
export async function mergeCard(plan: MergePlan, { tensors }: MergeOutcome): Promise<string> {
  const { models, record, recipe, parameters } = plan
  const rows = recipe.merges.map(({ id, method }, i) => {
    const kept = tensors.reduce((total, { steps }) => total + (steps[i]?.kept ?? 0), 0)
    return [`\`${id}\``, method, method === 'fuse' ? formatPercent(parameters > 0 ? kept / parameters : 0) : '']
  })
  const how = `Merged with branchmerge ${version}, by this recipe:\n\n\`\`\`yaml\n${recipeText(record)}\`\`\`\n\n`
  const shares = markdownTable(['merge', 'method', 'elements taken from the right side'], rows)
  const again = '`branchmerge reproduce` makes the same bytes again from `branchmerge.json`.'
  return await modelCard({
    title: 'Merge of',
    relation: 'merge',
    models: models.map(({ name, origin, checkpoint }) => ({ name, origin, directory: checkpoint.directory })),
    tags: ['merge'],
    sections: [['How', `${how}${shares}\n\n${again}`]],
  })
}
