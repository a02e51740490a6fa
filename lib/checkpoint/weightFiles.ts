/** Weights of a checkpoint in one file, and the list of those in several. A directory with either looks complete. */
export const singleFileName = 'model.safetensors'
export const indexFileName = 'model.safetensors.index.json'
