"""What a picture is: records, results, formats, sniffing, notebook views. No network; no store is opened here."""
