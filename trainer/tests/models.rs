//! Models that others made: read, scored and written again. The small ones in `models/` are random, in f16, with logits that
//! transformers computed (`scripts/compare_transformers.py --golden`).

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use gristmill_train::checkpoint::{self, Checkpoint, DataIdentity};
use gristmill_train::config::RunConfig;
use gristmill_train::gguf::{self, Precision};
use gristmill_train::huggingface::{self, Export};
use gristmill_train::model::{Model, Weights};
use gristmill_train::optimizer::vector;
use gristmill_train::step::token_tensor;

#[derive(serde::Deserialize)]
struct Expected {
    ids: Vec<u32>,
    /// Positions whose logits follow.
    rows: Vec<usize>,
    logits: Vec<f32>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(name)
}

fn read(folder: &Path) -> (Model, Weights) {
    let pretrained = huggingface::read(folder).unwrap();
    let weights = pretrained.values.into_iter().map(|values| vector(values, &Device::flex())).collect();
    (pretrained.model, Weights(weights))
}

fn logits(model: &Model, weights: &Weights, ids: &[u32]) -> Vec<f32> {
    let tokens = token_tensor(ids, 1, ids.len(), &Device::flex());
    model.logits(weights, tokens, None).into_data().try_into_vec::<f32>().unwrap()
}

#[test]
fn logits_are_those_of_transformers() {
    for name in ["llama", "gpt2"] {
        let (model, weights) = read(&folder(name));
        let expected = std::fs::read(folder(name).join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_slice(&expected).unwrap();
        assert_eq!(expected.ids.len(), 96);
        let found = logits(&model, &weights, &expected.ids);
        let v = model.vocabulary;
        for (row, expected) in expected.rows.iter().zip(expected.logits.chunks_exact(v)) {
            for (a, b) in found[row * v..].iter().zip(expected) {
                assert!((a - b).abs() < 1e-4, "{name} at {row}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_model_goes_through_a_checkpoint_and_out_again() {
    for name in ["llama", "gpt2"] {
        let (model, weights) = read(&folder(name));
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("checkpoint");
        let config = RunConfig::of(model.config.clone());
        let data = DataIdentity { tokenizer: String::new(), shards: "imported".to_owned() };
        checkpoint::save_model(&path, (&model, &weights), &config, &data, None).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(checkpoint.tokenizer_json().unwrap(), None);
        let (model, weights) = checkpoint.model(&Device::flex()).unwrap();
        let bytes = checkpoint::model_file(&model, &weights).unwrap();
        let hf = out.path().join("hf");
        let export = Export { model: &model, weights: &bytes, tokenizer: None };
        huggingface::write(&hf, &export).unwrap();
        let (again, same) = read(&hf);
        assert_eq!((&again.config, again.vocabulary), (&model.config, model.vocabulary));
        for (a, b) in weights.0.iter().zip(&same.0) {
            let values = |tensor: &burn::tensor::Tensor<1>| tensor.to_data().try_into_vec::<f32>().unwrap();
            assert_eq!(values(a), values(b));
        }
        // A second model does not mix with the first.
        let error = huggingface::write(&hf, &export).unwrap_err().to_string();
        assert!(error.contains("name a new folder"), "{error}");
    }
}

#[test]
fn what_no_other_program_computes_is_not_exported() {
    let shape = |kind: &str, more: &str| {
        let text =
            format!("[model]\nkind = \"{kind}\"\nlayers = 1\nheads = 2\nwidth = 16\ncontext = 8\n{more}\n");
        let model = Model::new(&RunConfig::parse(&text, &[]).unwrap().model, 20);
        let weights = model.initial_weights(1, &Device::flex());
        (model, weights)
    };
    let out = tempfile::tempdir().unwrap();
    let export = |(model, weights): &(Model, Weights), name: &str| {
        let bytes = checkpoint::model_file(model, weights).unwrap();
        let hf =
            huggingface::write(&out.path().join(name), &Export { model, weights: &bytes, tokenizer: None });
        let values: Vec<Vec<f32>> =
            weights.0.iter().map(|w| w.to_data().try_into_vec::<f32>().unwrap()).collect();
        let path = out.path().join(format!("{name}.gguf"));
        let gguf = gguf::write(&path, (model, &values), None, Precision::F16).map(|_| ());
        assert_eq!(path.exists(), gguf.is_ok());
        [hf, gguf].map(|result| result.err().map(|error| error.to_string()))
    };
    let refused = [
        ("llama3", "qk_norm = true", "model.qk_norm = true"),
        ("gpt2", "softcap = 15", "model.softcap = 15"),
        ("llama3", "activation = \"relu2\"", "model.activation = \"relu2\""),
        ("gpt2", "activation = \"swiglu\"", "model.activation = \"swiglu\""),
    ];
    for (kind, switch, name) in refused {
        for error in export(&shape(kind, switch), "refused") {
            let error = error.unwrap_or_default();
            assert!(error.contains(name) && error.contains("hint"), "{kind} {switch}: {error}");
        }
    }
    assert!(!out.path().join("refused").exists());
    // transformers has a squared ReLU and untied GPT-2; llama.cpp's gpt2 has the second only.
    assert_eq!(export(&shape("gpt2", "tied = false"), "untied"), [None, None]);
    let both = shape("gpt2", "tied = false\nactivation = \"relu2\"");
    let [hf, gguf] = export(&both, "both");
    assert!(hf.is_none() && gguf.unwrap().contains("relu2"));
    let (again, weights) = read(&out.path().join("both"));
    assert_eq!((again.config.activation(), again.config.tied()), (both.0.config.activation(), false));
    assert_eq!(logits(&again, &weights, &[1, 2, 3]), logits(&both.0, &both.1, &[1, 2, 3]));
}

#[test]
fn damaged_and_foreign_models_are_refused_by_name() {
    let out = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(folder(name).join(file), out.path().join(file)).unwrap();
        }
    };
    let error = || format!("{:#}", huggingface::read(out.path()).err().unwrap());
    assert!(error().contains("is no model"), "{}", error());
    copy("gpt2");
    std::fs::copy(folder("llama").join("model.safetensors"), out.path().join("model.safetensors")).unwrap();
    assert!(error().contains("no tensor `transformer.wte.weight`"), "{}", error());
    copy("gpt2");
    let config = std::fs::read_to_string(out.path().join("config.json")).unwrap();
    let other = config.replace("\"n_layer\": 2", "\"n_layer\": 1");
    assert_ne!(config, other);
    std::fs::write(out.path().join("config.json"), other).unwrap();
    assert!(error().contains("unknown tensors") && error().contains("h.1."), "{}", error());
    copy("gpt2");
    let path = out.path().join("model.safetensors");
    let content = std::fs::read(&path).unwrap();
    for bad in [&content[..content.len() / 2], b"", b"not a model"] {
        std::fs::write(&path, bad).unwrap();
        assert!(error().contains("model.safetensors"), "{}", error());
    }
    // An index cannot name files elsewhere.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(
        out.path().join("model.safetensors.index.json"),
        r#"{"weight_map": {"a": "../../etc/passwd"}}"#,
    )
    .unwrap();
    assert!(error().contains("outside its folder"), "{}", error());
}

#[test]
fn a_published_model_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/models/arith_llama");
    if !path.exists() {
        eprintln!("SKIPPED: no {}", path.display());
        return;
    }
    let (model, weights) = read(&path);
    assert_eq!((model.vocabulary, model.config.layers, model.config.context), (16, 4, 2048));
    let found = logits(&model, &weights, &[1, 2, 3, 4]);
    assert!(found.iter().all(|logit| logit.is_finite()));
}
