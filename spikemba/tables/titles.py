"""What columns are called, in the languages of the spreadsheets that write them; accents and capitals do not count."""

from spikemba.tables.times import Unit

ALIASES = {
    "video": """
        videos, file, files, filename, file name, video file, videofile, video filename, video file name, video
        name, video id, vid, video path, path, file path, media, media file, media file name, medium, clip, clip
        name, source file, footage, movie, film, url, video url, datei, dateiname, videodatei, videoname,
        dateipfad, fichier, nom du fichier, nom fichier, fichier video, nom de la video, archivo, nombre de
        archivo, nombre del archivo, archivo de video, arquivo, nome do arquivo, ficheiro, nome do ficheiro,
        file video, nome file, nome del file, bestand, bestandsnaam, videobestand, plik, nazwa pliku, plik
        wideo, wideo, fil, filnavn, filnamn, videofil, soubor, nazev souboru, tiedosto, видео, файл, имя файла,
        видеофайл, 動画, ファイル, ファイル名, 视频, 文件, 文件名, 비디오, 파일
    """,
    "start": """
        start time, starttime, time start, t start, tstart, start timecode, start tc, start point, begin, begin
        time, beginning, begins, starts, from, in, in point, inpoint, in time, mark in, tc in, timecode in, clip
        in, source in, onset, first frame, von, ab, anfang, anfangszeit, beginn, beginnt, startzeit, startpunkt,
        debut, temps de debut, heure de debut, inicio, tiempo de inicio, hora de inicio, tiempo inicial, desde,
        tempo inicial, tempo de inicio, inizio, tempo di inizio, da, tempo iniziale, begintijd, starttijd, van,
        poczatek, czas poczatku, od, starttid, begynnelse, zacatek, alku, alkuaika, начало, время начала, 開始,
        開始時間, 开始, 开始时间, 시작
    """,
    "end": """
        end time, endtime, time end, t end, tend, end timecode, end tc, end point, ends, stop, stop time,
        stoptime, to, out, out point, outpoint, out time, mark out, tc out, timecode out, clip out, source out,
        finish, until, till, last frame, bis, ende, endet, endzeit, endpunkt, schluss, fin, temps de fin, heure
        de fin, final, tiempo final, tiempo de fin, hora de fin, hasta, fim, tempo final, tempo de fim, ate,
        fine, tempo di fine, tempo finale, einde, eindtijd, eind, tot, koniec, czas konca, do, slut, sluttid,
        konec, loppu, loppuaika, конец, время окончания, 終了, 終了時間, 结束, 结束时间, 종료
    """,
    "query": """
        queries, sentence, sentences, text, caption, captions, description, descriptions, label, annotation,
        event, action, phrase, prompt, question, behavior, behaviour, search, search text, satz, beschreibung,
        anfrage, abfrage, suchanfrage, suchtext, frage, ereignis, bezeichnung, requete, texte, evenement,
        legende, frase, consulta, descripcion, texto, evento, pregunta, descrizione, testo, domanda, descricao,
        legenda, pergunta, zin, beschrijving, omschrijving, tekst, vraag, opis, zdanie, zapytanie, mening,
        beskrivning, beskrivelse, popis, kuvaus, запрос, описание, текст, 文, クエリ, 説明, 查询, 描述, 句子, 설명
    """,
    "rating": """
        ratings, bewertung, wertung, calificacion, valutazione, classificacao, beoordeling, ocena
    """,
    "fps": """
        frame rate, framerate, frames per second, bildrate, bildfrequenz, bilder pro sekunde, images par seconde
    """,
}
"""Name -> other titles that mean it."""

UNITS: dict[str, Unit] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "sek", "sekunde", "sekunden", "seg", "segundos"), "s"),
    **dict.fromkeys(("secondes", "secondi", "seconden", "sekundy", "sekunder", "ss msec", "秒", "сек"), "s"),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds", "millisekunden"), "ms"),
    **dict.fromkeys(("milisegundos", "millisecondes", "millisecondi"), "ms"),
    **dict.fromkeys(("min", "mins", "minute", "minutes", "minuten", "minutos", "minuti"), "min"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "std", "stunde", "stunden", "hora", "horas"), "h"),
    **dict.fromkeys(("heure", "heures", "ora", "ore"), "h"),
    **dict.fromkeys(("frame", "frames", "frame number", "frame no", "frame nr", "frame index", "frame id"), "frames"),
    **dict.fromkeys(("bild", "bilder", "fotograma", "fotogramas", "bildnummer"), "frames"),
    **dict.fromkeys(
        ("time", "tc", "timecode", "time code", "hh mm ss", "h mm ss", "hh mm ss ms", "hh mm ss ff"), "mm:ss"
    ),
    **dict.fromkeys(("hh mm ss f", "hh mm ss sss", "mm ss", "m ss", "mm ss ms", "mm ss f", "mm ss sss"), "mm:ss"),
    **dict.fromkeys(("hh mm", "h mm"), "hh:mm"),
}
"""What stands in brackets behind the title of a time, or beside its name: `Start (ms)`, `start_frame`."""
