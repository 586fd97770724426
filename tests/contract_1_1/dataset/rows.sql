-- The rows of run aa49bc58-8233-8bb7-9e63-f1eef2d39a18. In this folder: duckdb -init rows.sql; from elsewhere: SET file_search_path = 'path/to/this/folder'; first.
CREATE OR REPLACE MACRO class_name(number) AS (['0', '1', '2']::VARCHAR[])[number + 1];
CREATE OR REPLACE VIEW rows AS
SELECT
  "image"::STRUCT(bytes BLOB, path VARCHAR) AS "image",
  "label"::BIGINT AS "label",
  "row_id"::VARCHAR AS "row_id",
  "kind"::VARCHAR AS "kind",
  "image_sha256"::VARCHAR AS "image_sha256",
  "width"::INTEGER AS "width",
  "height"::INTEGER AS "height",
  "source_dataset"::VARCHAR AS "source_dataset",
  "source_split"::VARCHAR AS "source_split",
  "source_index"::BIGINT AS "source_index",
  "source_key"::VARCHAR AS "source_key",
  "source_sha256"::VARCHAR AS "source_sha256",
  "parent_row_id"::VARCHAR AS "parent_row_id",
  "run_id"::VARCHAR AS "run_id",
  "recipe_id"::VARCHAR AS "recipe_id",
  "op"::VARCHAR AS "op",
  "variant"::INTEGER AS "variant",
  "seed"::BIGINT AS "seed",
  "params"::VARCHAR AS "params",
  "model_id"::VARCHAR AS "model_id",
  "model_sha256"::VARCHAR AS "model_sha256",
  "norm"::VARCHAR AS "norm",
  "eps"::DOUBLE AS "eps",
  "target_label"::BIGINT AS "target_label",
  "steps"::INTEGER AS "steps",
  "clean_pred"::BIGINT AS "clean_pred",
  "float_pred"::BIGINT AS "float_pred",
  "pred"::BIGINT AS "pred",
  "clean_margin"::FLOAT AS "clean_margin",
  "float_margin"::FLOAT AS "float_margin",
  "margin"::FLOAT AS "margin",
  "confidence"::FLOAT AS "confidence",
  "success"::BOOLEAN AS "success",
  "linf_levels"::INTEGER AS "linf_levels",
  "l2"::FLOAT AS "l2",
  "verify_id"::VARCHAR AS "verify_id",
  "l1"::FLOAT AS "l1",
  "queries"::INTEGER AS "queries",
  "found_by"::VARCHAR AS "found_by",
  "flags"::VARCHAR AS "flags",
  "transfer_pred"::VARCHAR AS "transfer_pred",
  "transferred"::INTEGER AS "transferred",
  class_name("label") AS "label_name",
  class_name("target_label") AS "target_label_name",
  class_name("clean_pred") AS "clean_pred_name",
  class_name("float_pred") AS "float_pred_name",
  class_name("pred") AS "pred_name"
FROM read_parquet(['data/aa49bc58/train-*.parquet'], union_by_name = true);
COMMENT ON COLUMN rows."image" IS '8-bit PNG; path is `<row_id>.png`';
COMMENT ON COLUMN rows."label" IS 'ground truth; of generated rows the class asked for';
COMMENT ON COLUMN rows."row_id" IS '32 hex digits; the same after retries, resharding and re-runs';
COMMENT ON COLUMN rows."kind" IS 'adversarial, generated or augmented';
COMMENT ON COLUMN rows."image_sha256" IS 'SHA-256 of `"u8:H:W:C:"` + the decoded HWC bytes of the image';
COMMENT ON COLUMN rows."width" IS 'pixels';
COMMENT ON COLUMN rows."height" IS 'pixels';
COMMENT ON COLUMN rows."source_dataset" IS 'where the clean row came from, without credentials or query';
COMMENT ON COLUMN rows."source_split" IS 'split of the clean row';
COMMENT ON COLUMN rows."source_index" IS 'position of the clean row inside its source file';
COMMENT ON COLUMN rows."source_key" IS 'stable key of the clean row; of generated rows the sample''s key';
COMMENT ON COLUMN rows."source_sha256" IS 'digest of the clean pixels, as image_sha256';
COMMENT ON COLUMN rows."parent_row_id" IS 'row_id in an earlier run''s table, where rows are made from made rows';
COMMENT ON COLUMN rows."run_id" IS 'UUID of the run that made the row';
COMMENT ON COLUMN rows."recipe_id" IS '16 hex digits; the recipe''s text is in footer and manifest';
COMMENT ON COLUMN rows."op" IS 'pgd_linf, augment, gan, ...';
COMMENT ON COLUMN rows."variant" IS 'which of the rows that one recipe makes from one source row';
COMMENT ON COLUMN rows."seed" IS 'all randomness of the row comes from it';
COMMENT ON COLUMN rows."params" IS 'JSON of what was drawn for this row';
COMMENT ON COLUMN rows."model_id" IS 'model under attack, or generator';
COMMENT ON COLUMN rows."model_sha256" IS 'SHA-256 of its weights';
COMMENT ON COLUMN rows."norm" IS 'Linf, L2 or L1';
COMMENT ON COLUMN rows."eps" IS 'budget on the [0, 1] pixel scale';
COMMENT ON COLUMN rows."target_label" IS 'class a targeted attack aims at';
COMMENT ON COLUMN rows."steps" IS 'gradient steps spent on the row';
COMMENT ON COLUMN rows."clean_pred" IS 'prediction on the clean pixels';
COMMENT ON COLUMN rows."float_pred" IS 'prediction on the attack''s result before it is stored as 8-bit';
COMMENT ON COLUMN rows."pred" IS 'prediction on the stored image';
COMMENT ON COLUMN rows."clean_margin" IS 'logit of the label less the best other logit, clean pixels; < 0 is an error';
COMMENT ON COLUMN rows."float_margin" IS 'the same before storing';
COMMENT ON COLUMN rows."margin" IS 'the same on the stored image';
COMMENT ON COLUMN rows."confidence" IS 'softmax probability of `pred` on the stored image';
COMMENT ON COLUMN rows."success" IS 'clean_pred = label and pred != label; targeted: pred = target_label != label';
COMMENT ON COLUMN rows."linf_levels" IS 'largest change of a value, in 8-bit levels';
COMMENT ON COLUMN rows."l2" IS 'Euclidean norm of the change, [0, 1] pixel scale';
COMMENT ON COLUMN rows."verify_id" IS 'how the verdict was computed, such as fp32-tf32off-b256';
COMMENT ON COLUMN rows."l1" IS 'sum of the changes, [0, 1] pixel scale';
COMMENT ON COLUMN rows."queries" IS 'forward passes without gradient spent on the row';
COMMENT ON COLUMN rows."found_by" IS 'the attack (of an ensemble, the member) that gave the image';
COMMENT ON COLUMN rows."flags" IS 'signals about the row, comma-separated; empty where there are none';
COMMENT ON COLUMN rows."transfer_pred" IS 'JSON object: held-out model -> predicted class of the stored image';
COMMENT ON COLUMN rows."transferred" IS 'held-out models that the stored image fools';
