//! Documents as aggregated servers write them, in part and together.

use super::*;

fn document(mood: &str) -> Vec<u8> {
    json!({
        "swagger": "2.0",
        "paths": {
            "/apis/": {"get": {}},
            "/apis/cats.example.com/v1beta1/cats": {"get": {"responses": {}}},
            "/apis/cats.example.com/v1/cats": {
                "parameters": [{"uniqueItems": true, "type": "string", "name": "pretty", "in": "query"}],
                "post": {
                    "consumes": ["*/*"], "produces": ["application/json", "application/yaml"],
                    "operationId": "createCat",
                    "parameters": [{"name": "body", "in": "body", "required": true,
                        "schema": {"$ref": "#/definitions/com.example.Cat"}}],
                    "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/com.example.Cat"}}},
                    IDENTITY: {"group": "cats.example.com", "kind": "Cat", "version": "v1"},
                },
            },
        },
        "definitions": {
            "com.example.Cat": {"type": "object", "properties": {"mood": {"$ref": "#/definitions/com.example.Mood"}}},
            "com.example.Mood": {"type": mood},
            "com.example.Kitten": {"type": "object",
                IDENTITY: [{"group": "cats.example.com", "kind": "Kitten", "version": "v1"}]},
            "com.example.Stranger": {"type": "object"},
        },
    })
    .to_string()
    .into_bytes()
}

fn names(map: &Map<String, Value>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

#[test]
fn only_what_a_version_needs_is_taken() {
    let found = Described::read(&document("string"), "/apis/cats.example.com/v1").unwrap();
    assert_eq!(names(&found.paths), ["/apis/cats.example.com/v1/cats"]);
    assert_eq!(names(&found.definitions), ["com.example.Cat", "com.example.Kitten", "com.example.Mood"]);
    assert_eq!(Described::read(&document("string"), "/apis/cats.example.com/v1").unwrap(), found);
    assert_ne!(
        Described::read(&document("integer"), "/apis/cats.example.com/v1").unwrap().fingerprint,
        found.fingerprint
    );
    assert!(Described::read(&document("string"), "/apis/dogs.example.com/v1").is_none());
    assert!(Described::read(b"404 page not found", "/apis/cats.example.com/v1").is_none());
}

#[test]
fn names_of_several_servers_are_kept_apart() {
    let one = Arc::new(Described::read(&document("string"), "/apis/cats.example.com/v1").unwrap());
    let two = Arc::new(Described::read(&document("integer"), "/apis/cats.example.com/v1beta1").unwrap());
    assert_eq!(names(&merged(&[one.clone(), two]).definitions), names(&one.definitions));
    let other = Arc::new(Described::read(&document("integer"), "/apis/cats.example.com/v1").unwrap());
    let both = merged(&[one.clone(), other]);
    assert_eq!(both.definitions["com.example.Mood"]["type"], "string");
    assert_eq!(both.definitions["com.example.Mood_v2"]["type"], "integer");
    assert_eq!(both.definitions["com.example.Kitten"], one.definitions["com.example.Kitten"]);
}

#[test]
fn version_3_says_the_same() {
    let found = Described::read(&document("string"), "/apis/cats.example.com/v1").unwrap();
    let document: Value = serde_json::from_slice(&found.as_v3().body).unwrap();
    let reference = json!({"$ref": "#/components/schemas/com.example.Cat"});
    let path = &document["paths"]["/apis/cats.example.com/v1/cats"];
    assert_eq!(
        path["parameters"],
        json!([{"name": "pretty", "in": "query", "schema": {"type": "string", "uniqueItems": true}}])
    );
    assert_eq!(
        path["post"],
        json!({
            "operationId": "createCat",
            "parameters": [],
            "requestBody": {"required": true, "content": {"*/*": {"schema": reference}}},
            "responses": {"200": {"description": "OK", "content": {
                "application/json": {"schema": reference}, "application/yaml": {"schema": reference}}}},
            IDENTITY: {"group": "cats.example.com", "kind": "Cat", "version": "v1"},
        })
    );
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["com.example.Cat"]["properties"]["mood"]["$ref"], "#/components/schemas/com.example.Mood");
}
