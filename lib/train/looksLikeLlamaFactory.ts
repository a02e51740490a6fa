import { isMapping } from '../validate.js'

/** Whether a document is a training configuration of LLaMA-Factory, by the keys that all of them have. */
export function looksLikeLlamaFactory(value: unknown): boolean {
  return isMapping(value) && ['model_name_or_path', 'stage', 'finetuning_type', 'dataset'].some((key) => key in value)
}
