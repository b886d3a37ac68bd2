// Renders templates as Ollama does: the values and functions it gives to Go's text/template.
// Reads a JSON list of {"template", "messages": [{"role", "content"}]} and writes the list of texts.
// Source: ollama/ollama, template/template.go (Execute and collate); written anew.
package main

import (
	"encoding/json"
	"log"
	"os"
	"strings"
	"text/template"
)

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type job struct {
	Template string    `json:"template"`
	Messages []message `json:"messages"`
}

func asJSON(value any) string {
	text, _ := json.Marshal(value)
	return string(text)
}

// gather joins all system messages, and neighbours of one role.
func gather(messages []message) (string, []*message) {
	var system []string
	var joined []*message
	for k := range messages {
		if messages[k].Role == "system" {
			system = append(system, messages[k].Content)
		}
		if last := len(joined) - 1; last >= 0 && joined[last].Role == messages[k].Role {
			joined[last].Content += "\n\n" + messages[k].Content
		} else {
			joined = append(joined, &messages[k])
		}
	}
	return strings.Join(system, "\n\n"), joined
}

func main() {
	var jobs []job
	if err := json.NewDecoder(os.Stdin).Decode(&jobs); err != nil {
		log.Fatal(err)
	}
	texts := []string{}
	for _, one := range jobs {
		parsed, err := template.New("").Option("missingkey=zero").Funcs(template.FuncMap{"json": asJSON}).Parse(one.Template)
		if err != nil {
			log.Fatal(err)
		}
		system, messages := gather(one.Messages)
		var text strings.Builder
		err = parsed.Execute(&text, map[string]any{"System": system, "Messages": messages, "Tools": []string(nil),
			"Response": "", "Think": false, "IsThinkSet": false})
		if err != nil {
			log.Fatal(err)
		}
		texts = append(texts, text.String())
	}
	json.NewEncoder(os.Stdout).Encode(texts)
}
